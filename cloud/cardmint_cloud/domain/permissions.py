"""Who may do what on the dashboard: roles of people, and scopes of programs' tokens."""

import re
from enum import StrEnum

OPEN_PATHS = re.compile(r"/(login|healthz|join/[^/]+|static/[^/]+|api/v1/tenant)\Z")
"""Paths for everybody: signing in, the state of health, files of the pages, the tenant's name."""


class Role(StrEnum):
    """A person's role. Each may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a program's token is for: a station's images and packs, or reading."""

    STATION = "station"
    READ = "read"


_RANK = {role: rank for rank, role in enumerate(Role)}
_SAFE = frozenset({"GET", "HEAD"})
_OWN = re.compile(r"/(account(/.*)?|logout)\Z")
_PEOPLE = re.compile(r"/people(/.*)?\Z")
_WRITES: tuple[tuple[re.Pattern[str], Role], ...] = (
    (re.compile(r"/reviews/[^/]+/hand\Z"), Role.OPERATOR),
    (re.compile(r"/reviews/[^/]+/rescan\Z"), Role.OPERATOR),
    (re.compile(r"/reviews(/[^/]+(/undo)?)?\Z"), Role.OPERATOR),
    (re.compile(r"/items/(preview|change|undo/[^/]+)\Z"), Role.OPERATOR),
    (re.compile(r"/held-prices/[^/]+/[^/]+\Z"), Role.REVIEWER),
    (re.compile(r"/(dead-letters|jobs|providers)/.+\Z"), Role.ADMIN),
)
"""The least role for each path that changes something. Others are nobody's."""

_IMAGE = re.compile(r"/api/v1/[^/]+/images/[^/]+\Z")
_ARTIFACT = re.compile(r"/api/v1/[^/]+/(artifacts|wares)/[^/]+\Z")
_READ = re.compile(r"/(api/v1/.+|images/.+|events|metrics)\Z")


def person_may(role: Role, method: str, path: str) -> bool:
    """Return whether a person with a role may make a request."""
    if _OWN.match(path):
        return True
    if _PEOPLE.match(path):
        return role is Role.ADMIN
    if method in _SAFE:
        return True
    least = next((least for pattern, least in _WRITES if pattern.match(path)), None)
    return least is not None and _RANK[role] >= _RANK[least]


def program_may(scope: Scope, method: str, path: str) -> bool:
    """Return whether a program with a token may make a request."""
    if scope is Scope.STATION:
        image = _IMAGE.match(path) and method in {"HEAD", "PUT", "PATCH"}
        return bool(image) or bool(_ARTIFACT.match(path) and method in _SAFE)
    return method in _SAFE and bool(_READ.match(path))


def tenant_of(path: str) -> str | None:
    """Return the tenant that a path names; None if it names none."""
    found = re.match(r"/(?:api/v1|images)/([^/]+)", path)
    return found[1] if found else None
