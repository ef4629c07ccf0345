"""All targets by name: every decoder of what comes from outside."""

from tests.fuzz import catalogue, contracts, files, http
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *catalogue.TARGETS,
        *contracts.TARGETS,
        *files.TARGETS,
        *http.TARGETS,
        http.DASHBOARD,
    )
}
