"""Who may do what on the dashboard: roles of people, and scopes of programs' tokens."""

import re
from enum import StrEnum

OPEN_PATHS = re.compile(
    r"/(login(?:/provider(?:/back)?|/passkey(?:/ask)?)?|healthz|(?:join|recover|view)/[^/]+|static/[^/]+"
    r"|api/v1/(?:tenant|station-code))\Z"
)
"""Paths for everybody: signing in, links with a secret, the state of health, files, and the
tenant's name."""


class Role(StrEnum):
    """A person's role. Each may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Scope(StrEnum):
    """What a program's token is for.

    A station's images and packs, reading, changing cards besides, or metrics alone.
    """

    STATION = "station"
    READ = "read"
    WRITE = "write"
    METRICS = "metrics"


_WITHIN_REACH = re.compile(
    r"/(items(/(totals|facets|labels|preview|change|download/[^/]+|undo/[^/]+|[0-9a-f-]{36}))?"
    r"|reviews(/.+)?|waiting|events|images/[^/]+/[^/]+"
    r"|api/v1/[^/]+/(cards(/facets)?|items|reviews(/.+)?|changes(/preview|/[^/]+/undo)?))\Z"
)
_WHOLE = frozenset({("POST", "cards"), ("GET", "changes")})
"""What is the whole tenant's where the path is of others, too: adding cards, all changes."""

_RANK = {role: rank for rank, role in enumerate(Role)}
_SAFE = frozenset({"GET", "HEAD"})
_OWN = re.compile(r"/(account(/.*)?|logout|login/second)\Z")
_WAITING = re.compile(r"/(login/second|logout)\Z")
_ENROLLING = re.compile(r"/(account/(factors(/.*)?|prove)|logout)\Z")
_SENSITIVE = re.compile(r"/(people|account/(factors|provider))/.+\Z")
_LEADS_AWAY = re.compile(r"/account/provider/connect\Z")
_PEOPLE = re.compile(r"/people(/.*)?\Z")
_CHANGES = r"/api/v1/[^/]+/(cards|changes(/preview|/[^/]+/undo)?|reviews/[^/]+/answer)\Z"
_WRITES: tuple[tuple[re.Pattern[str], Role], ...] = (
    (re.compile(r"/reviews/[^/]+/hand\Z"), Role.OPERATOR),
    (re.compile(r"/reviews/[^/]+/rescan\Z"), Role.OPERATOR),
    (re.compile(r"/reviews(/[^/]+(/undo)?)?\Z"), Role.OPERATOR),
    (re.compile(r"/items/(add|import|preview|change|views(/remove)?|undo/[^/]+)\Z"), Role.OPERATOR),
    (re.compile(r"/items/market-(differences|files(/[^/]+/take-back)?)\Z"), Role.OPERATOR),
    (re.compile(_CHANGES), Role.OPERATOR),
    (re.compile(r"/held-prices/[^/]+/[^/]+\Z"), Role.REVIEWER),
    (re.compile(r"/(dead-letters|jobs|providers)/.+\Z"), Role.ADMIN),
)
"""The least role for each path that changes something. Others are nobody's."""

_OF_ALL = frozenset({"/api/v1/accuracy/status", "/api/v1/health/circuits"})
"""Paths that name no tenant where others do: they are about the dashboard's own."""

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


def limited_may(method: str, path: str) -> bool:
    """Return whether somebody may make a request whose reach is limited to stations or lots.

    What is left of a page or answer is decided by the rows within the reach; what adds up the whole
    tenant (inventory, value, prices, stations) is not theirs.
    """
    if _OWN.match(path):
        return True
    return bool(_WITHIN_REACH.match(path)) and (method, path.rsplit("/", 1)[-1]) not in _WHOLE


def waiting_may(path: str) -> bool:
    """Return whether somebody whose second factor is still to come may go to a path."""
    return bool(_WAITING.match(path))


def enrolling_may(path: str) -> bool:
    """Return whether somebody who still has to set up a second factor may go to a path."""
    return bool(_ENROLLING.match(path))


def needs_proof(method: str, path: str) -> bool:
    """Return whether a request is made only by somebody who has lately proved who it is."""
    return bool(_LEADS_AWAY.match(path) or (method not in _SAFE and _SENSITIVE.match(path)))


def program_may(scope: Scope, method: str, path: str) -> bool:
    """Return whether a program with a token may make a request."""
    if scope is Scope.STATION:
        image = _IMAGE.match(path) and method in {"HEAD", "PUT", "PATCH"}
        return bool(image) or bool(_ARTIFACT.match(path) and method in _SAFE)
    if scope is Scope.METRICS:
        return method in _SAFE and path == "/metrics"
    if scope is Scope.WRITE and method == "POST":
        return bool(re.match(_CHANGES, path))
    return method in _SAFE and bool(_READ.match(path))


def tenant_of(path: str) -> str | None:
    """Return the tenant that a path names; None if it names none."""
    if path in _OF_ALL:
        return None
    found = re.match(r"/(?:api/v1|images)/([^/]+)", path)
    return found[1] if found else None
