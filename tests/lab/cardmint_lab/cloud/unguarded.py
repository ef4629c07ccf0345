"""`cardmint-cloud` without the policies of tenants, to measure what they cost.

    python -m cardmint_lab.cloud.unguarded work

Nothing says whose a transaction is, and the service starts although no policy holds it. For a
database of a benchmark only, whose policies are off.
"""

from types import ModuleType

from cardmint_cloud import cli
from cardmint_cloud.adapters.postgres import connection, migrate
from cardmint_cloud.adapters.postgres.queries import reading


async def _say_nothing(_connection: object, _tenant: str) -> None:
    pass


def _no_problem(_connection: object) -> None:
    return None


def main() -> None:
    """Run the command line."""
    stand_ins: tuple[tuple[ModuleType, str, object], ...] = (
        (connection, "set_tenant", _say_nothing),
        (reading, "set_tenant", _say_nothing),
        (migrate, "service_problem", _no_problem),
    )
    for module, name, stand_in in stand_ins:
        setattr(module, name, stand_in)
    cli.main()


if __name__ == "__main__":
    main()
