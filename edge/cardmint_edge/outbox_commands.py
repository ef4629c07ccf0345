"""The commands `cardmint-edge outbox`.

Look at it, carry it by hand, let what was refused go again.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import msgspec

from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.sqlite.images import ImageTable
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.errors import Stop
from cardmint_edge.settings import EdgeSettings, load
from cardmint_edge.status import outbox_status

OUTBOX = "outbox.db"
_config = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The settings, a TOML file.",
)


@click.group()
def outbox() -> None:
    """Look at what waits to be sent, and carry it by hand."""


@outbox.command("look")
@_config
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def look(config: Path, *, as_json: bool) -> None:
    """Print where the outbox stands; the station may be running."""
    with _looking(load(config, os.environ)) as database:
        fields = msgspec.to_builtins(outbox_status(Outbox(database), ImageTable(database)))
    if as_json:
        click.echo(msgspec.json.encode(fields).decode())
        return
    for name, value in fields.items():
        click.echo(f"{name.replace('_', ' '):16} {'none' if value is None else value}")


@outbox.command("export")
@_config
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write.",
)
def export(config: Path, out: Path) -> None:
    """Write every unsent event into a file to carry.

    Nothing is removed, and the station may be running.
    """
    from cardmint_edge.outbox_transfer import export as write  # noqa: PLC0415 - the broker's client takes long to load

    settings = load(config, os.environ)
    with _looking(settings) as database:
        count = write(settings, Outbox(database), out)
    click.echo(f"{out}: {count} events")


@outbox.command("import")
@_config
@click.option(
    "--timeout", default=60.0, show_default=True, help="Seconds to wait for the cloud's receipt."
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def import_(config: Path, file: Path, *, timeout: float) -> None:
    """Send an exported FILE to the broker of the settings, in its station's name, until the cloud has it.

    The station itself may send the same events again later: each counts once. It must not be
    connected meanwhile.
    """
    from cardmint_edge.outbox_transfer import read, send  # noqa: PLC0415 - as above

    settings, carried = load(config, os.environ), read(file)
    if not send(settings, carried, timeout):
        raise Stop(
            f"{file}: the cloud did not take all of it in {timeout:.0f} s; nothing is lost, try again"
        )
    click.echo(f"{file}: {len(carried.events)} events of {carried.station} are with the cloud")


@outbox.command("replay")
@_config
def replay(config: Path) -> None:
    """Let the images that the cloud refused be sent again; the station must be stopped."""
    path = load(config, os.environ).station.data / OUTBOX
    if not path.exists():
        raise Stop(f"there is no outbox at {path}")
    with closing(Database.open(path)) as database:
        click.echo(f"{ImageTable(database).unpark()} images are sent again after the next start")


@contextmanager
def _looking(settings: EdgeSettings) -> Iterator[Database]:
    with closing(Database.look(settings.station.data / OUTBOX)) as database:
        yield database
