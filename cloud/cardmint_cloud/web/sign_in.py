"""Who asks: every request of a dashboard with accounts is signed in, or has a token.

What each may do is in `domain/permissions.py`. Another tenant's address is answered like one that
does not exist.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import parse_qs, quote

from litestar.datastructures import Cookie
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cardmint_cloud.accounts import LONGEST, TOKEN_PREFIX, Accounts, Program, SignedIn
from cardmint_cloud.adapters.postgres.connection import limited_to
from cardmint_cloud.adapters.postgres.retry import DATABASE_AWAY
from cardmint_cloud.domain.permissions import (
    OPEN_PATHS,
    enrolling_may,
    limited_may,
    needs_proof,
    person_may,
    program_may,
    tenant_of,
    waiting_may,
)
from cardmint_cloud.domain.quota import PER_MINUTE, Quotas, Tier
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.domain.sign_in_pace import network_of
from cardmint_cloud.known_browsers import LIFE as BROWSER_LIFE
from cardmint_cloud.web.guards import send_text

WHO = "cardmint.who"
"""Key of the scope under which a signed-in person stands."""

PROGRAM = "cardmint.program"
"""Key of the scope under which the name of a program stands."""

REACH = "cardmint.reach"
"""Key of the scope under which the stations and lots stand to which who asks is limited."""

HOST_PREFIX = "__Host-"
"""Browsers take a cookie of such a name by HTTPS, from this host and for all of it only."""

COOKIE = "session"
SECURE_COOKIE = HOST_PREFIX + COOKIE
KNOWN_S = 1.0
"""Seconds for which a token's program is remembered."""

MOST_KNOWN = 1000
"""Tokens that are remembered at a time."""

ASK_AGAIN = timedelta(seconds=10)
"""How often it is asked again whether live updates may go on."""


Refusal = tuple[int, str, dict[str, str]]
"""Status, text and headers of the answer to a request that is refused."""

ORIGIN = "cardmint.origin"
"""Key of the scope under which the origin stands whose page may read the answer."""

_UNCOUNTED = frozenset({"/healthz"})
_NO_TOKEN: Refusal = 401, "That token is not known here.\n", {"www-authenticate": "Bearer"}
_PREFLIGHT = {
    "access-control-allow-methods": "GET, HEAD",
    "access-control-allow-headers": "authorization",
    "access-control-max-age": "600",
}
_NOT_ALLOWED: Refusal = 403, "Your account may not do that; ask an admin.\n", {}
_BEYOND: Refusal = (
    403,
    "Your account is limited to some stations or lots, and this is about all; ask an admin.\n",
    {},
)


class KnownPrograms:
    """The programs by their tokens, remembered for a second while changes are heard of.

    A token that is removed in this process is refused at once, one that another process removes
    when that is heard of, after a second at the latest.
    """

    def __init__(self, accounts: Accounts, mark: Callable[[], str | None]) -> None:
        self._accounts, self._mark = accounts, mark
        self._known: dict[str, tuple[Program, str, int, float]] = {}

    async def find(self, token: str, now: datetime) -> Program | None:
        """Return whose token it is; None where it is none, or has ended."""
        mark, changes = self._mark(), self._accounts.token_changes
        program, *seen, until = self._known.get(token, (None, "", 0, 0.0))
        if program is not None and seen == [mark, changes] and time.monotonic() < until:
            return None if program.has_ended(now) else program
        program = await self._accounts.program(token, now)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        if program is not None and mark is not None:
            self._known[token] = program, mark, changes, time.monotonic() + KNOWN_S
        return program


class SignInGuard:
    """ASGI: lets nobody through who may not make the request."""

    def __init__(
        self,
        app: ASGIApp,
        accounts: Accounts,
        tenant: str,
        clock: Callable[[], datetime],
        programs: KnownPrograms,
        *,
        secure: bool,
        quotas: Quotas | None = None,
    ) -> None:
        """Take the app. `secure`: browsers reach it by HTTPS. Without `quotas` nobody waits."""
        self._quotas, self._programs = quotas, programs
        self._app, self._accounts, self._tenant, self._clock = app, accounts, tenant, clock
        self._cookie = SECURE_COOKIE if secure else COOKIE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        method, path = str(scope["method"]), routed_path(str(scope["path"]))
        scope["path"] = path  # The rules judge the very path that is routed.
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        if OPEN_PATHS.match(path):
            refusal = (
                None
                if path in _UNCOUNTED or path.startswith("/static/")
                else self._too_many(_stranger(scope), Tier.STRANGER)
            )
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await send_text(send, *refusal)
            return
        try:
            refusal = await self._refusal(scope, method, path, headers)
        except DATABASE_AWAY:
            refusal = (503, "The database does not answer; try again in a moment.\n", {})
        if refusal is None:
            send = _with_origin(scope, headers, send)
            reach = reach_of_asker(scope)
            with limited_to(reach):
                sent = self._until_refused(scope, path, headers, send, reach)
                await self._app(scope, receive, sent)
            return
        await send_text(send, *refusal)

    def _until_refused(
        self,
        scope: Scope,
        path: str,
        headers: dict[str, str],
        send: Send,
        reach: Reach | None,
    ) -> Send:
        """Return a `send` that ends a lasting answer when who gets it may not have it any more.

        One of another reach comes back, and gets what is within that.
        """
        asked_at, ended = self._clock(), False

        async def send_on(message: Message) -> None:
            nonlocal asked_at, ended
            if ended:
                return
            now = self._clock()
            if message["type"] == "http.response.body" and now - asked_at > ASK_AGAIN:
                asked_at = now
                try:
                    refusal = await self._refusal(scope, "GET", path, headers, use=False)
                except DATABASE_AWAY:
                    refusal = None
                if refusal is not None or reach_of_asker(scope) != reach:
                    ended = True
                    message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        return send_on if path == "/events" else send

    async def _refusal(
        self,
        scope: Scope,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        use: bool = True,
    ) -> Refusal | None:
        """Return why a request is refused: status, text and headers; None if it is not."""
        now = self._clock()
        kind, _, token = headers.get("authorization", "").partition(" ")
        if method == "OPTIONS":
            return await self._preflight(scope, headers)
        if kind.lower() == "bearer" and token.startswith(TOKEN_PREFIX):
            refusal = await self._program_refusal(scope, token, method, path, headers)
        else:
            secret = cookie_value(headers.get("cookie", ""), self._cookie)
            who = await self._accounts.signed_in(secret, now, use=use) if secret else None
            if who is None:
                return self._too_many(_stranger(scope), Tier.STRANGER) or _sign_in_first(
                    scope, method, path, headers
                )
            scope[WHO] = who  # type: ignore[literal-required]
            scope[REACH] = who.reach  # type: ignore[literal-required]
            refusal = (
                self._too_many(f"session {who.session.hex()}", Tier.PERSON) if use else None
            ) or self._person_refusal(who, scope, method, path, headers)
        if refusal is not None:
            return refusal
        if reach_of_asker(scope) is not None and not limited_may(method, path):
            return (303, "", {"location": "/items"}) if path == "/" else _BEYOND
        query = parse_qs(bytes(scope["query_string"]).decode("latin-1"))
        named = {tenant_of(path), *(query.get("tenant", []) if path == "/events" else [])}
        if named - {None, "", self._tenant}:
            return 404, "There is nothing under that address.\n", {}
        return None

    async def _program_refusal(
        self, scope: Scope, token: str, method: str, path: str, headers: dict[str, str]
    ) -> Refusal | None:
        program = await self._programs.find(token, self._clock())
        if program is None:
            return self._too_many(_stranger(scope), Tier.STRANGER) or _NO_TOKEN
        origin = headers.get("origin")
        if origin is not None and origin in program.origins:
            scope[ORIGIN] = origin  # type: ignore[literal-required]
        scope[PROGRAM] = program.name  # type: ignore[literal-required]
        scope[REACH] = program.reach  # type: ignore[literal-required]
        client = f"token {program.digest.hex()}"
        refusal = self._too_many(client, Tier(program.scope), program.per_minute)
        if refusal is None and not program_may(program.scope, method, path):
            refusal = _NOT_ALLOWED
        if refusal is None and origin is not None and origin not in program.origins:
            refusal = 403, "Pages of that origin may not use this token.\n", {}
        return refusal

    async def _preflight(self, scope: Scope, headers: dict[str, str]) -> Refusal:
        """Answer a browser that asks whether a foreign page may send a token."""
        if refusal := self._too_many(_stranger(scope), Tier.STRANGER):
            return refusal
        origin = headers.get("origin", "")
        if not origin or not await self._accounts.takes_origin(origin):
            return 403, "No page of another origin may ask here.\n", {"vary": "origin"}
        return 204, "", {**_cors(origin), **_PREFLIGHT}

    def _too_many(self, client: str, tier: Tier, per_minute: int | None = None) -> Refusal | None:
        """Count a request; return the refusal where a client makes too many."""
        if self._quotas is None:
            return None
        pace = per_minute or PER_MINUTE[tier]
        wait = self._quotas.seconds_to_wait(client, pace, time.monotonic())
        if not wait:
            return None
        told = f"Too many requests: {pace} a minute are allowed; wait {wait} s.\n"
        return 429, told, {"retry-after": str(wait)}

    def _person_refusal(
        self, who: SignedIn, scope: Scope, method: str, path: str, headers: dict[str, str]
    ) -> Refusal | None:
        if where := self._first(who, path):
            return _go_first(scope, method, path, headers, where)
        if not person_may(who.role, method, path):
            return _NOT_ALLOWED
        if needs_proof(method, path) and not who.proved_lately(self._clock()):
            return _go_first(scope, method, path, headers, "/account/prove")
        return None

    def _first(self, who: SignedIn, path: str) -> str:
        """Return where a person must go before anywhere else; empty for nowhere."""
        if who.waits:
            return "" if waiting_may(path) else "/login/second"
        if self._accounts.needs_factor(who.role) and not who.factors:
            return "" if enrolling_may(path) else "/account/factors"
        return ""


_FIRST = {
    "/login/second": "Give your second factor first",
    "/account/factors": "Your account needs a second factor; set one up first",
    "/account/prove": "Prove again that it is you first",
}


def _stranger(scope: Scope) -> str:
    client = scope["client"]
    return f"address {network_of(client[0]) if client else ''}"


def _cors(origin: str) -> dict[str, str]:
    return {"access-control-allow-origin": origin, "vary": "origin"}


def _with_origin(scope: Scope, headers: dict[str, str], send: Send) -> Send:
    """Return a `send` that lets the page of a token's origin read the answer."""
    origin = scope.get(ORIGIN)
    if not isinstance(origin, str) or "origin" not in headers:
        return send

    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            more = [(name.encode(), value.encode()) for name, value in _cors(origin).items()]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return send_on


def _sign_in_first(scope: Scope, method: str, path: str, headers: dict[str, str]) -> Refusal:
    if "hx-request" in headers:
        return 401, "Sign in again.\n", {"hx-redirect": "/login"}
    if method not in {"GET", "HEAD"} or not _wants_page(path, headers):
        return 401, "Sign in, or send a token.\n", {"www-authenticate": "Bearer"}
    wanted = quote(_wanted(scope, method, path), safe="/")
    return 303, "Sign in first.\n", {"location": f"/login?next={wanted}"}


def _go_first(scope: Scope, method: str, path: str, headers: dict[str, str], where: str) -> Refusal:
    """Return the answer to a person who must go to another page first, and comes back."""
    told = f"{_FIRST[where]}: {where}\n"
    to = f"{where}?next={quote(_wanted(scope, method, path), safe='/')}"
    if "hx-request" in headers:
        return 401, told, {"hx-redirect": to}
    if not _wants_page(path, headers):
        return 403, told, {}
    return 303, told, {"location": to}


def _wants_page(path: str, headers: dict[str, str]) -> bool:
    to_programs = path.startswith(("/api/", "/images/", "/events", "/metrics"))
    return "text/html" in headers.get("accept", "") and not to_programs


def _wanted(scope: Scope, method: str, path: str) -> str:
    """Return the address to come back to: that of the page whose form it was, for a form."""
    if method not in {"GET", "HEAD"}:
        return "/" + path.split("/")[1]
    query = bytes(scope["query_string"]).decode("latin-1")
    return f"{path}?{query}" if query else path


def session_cookie(secret: str, *, secure: bool) -> Cookie:
    """Return the cookie that carries a session; an empty secret removes it."""
    return Cookie(
        key=SECURE_COOKIE if secure else COOKIE,
        value=secret,
        max_age=round(max(LONGEST.values()).total_seconds()) if secret else 0,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def browser_cookie(name: str, value: str, *, secure: bool) -> Cookie:
    """Return the cookie by which a browser is known when its person signs in again."""
    return Cookie(
        key=HOST_PREFIX + name if secure else name,
        value=value,
        max_age=round(BROWSER_LIFE.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def local_path(wanted: str) -> str:
    """Return an address of this dashboard to go to after signing in; `/` for any other."""
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    return wanted if plain and wanted.startswith("/") and not wanted.startswith("//") else "/"


def routed_path(path: str) -> str:
    """Return a path as the router reads it: it ignores empty segments, as in `//people/`."""
    return "/" + "/".join(part for part in path.split("/") if part)


def cookie_value(header: str, name: str) -> str:
    """Return a cookie's value; empty where there is none."""
    return cookie_values(header).get(name, "")


def cookie_values(header: str) -> dict[str, str]:
    """Return all cookies; other services of this host may have set any text beside ours.

    The last one of a name counts: browsers send those of longer paths, which are not ours, first.
    """
    pairs = (pair.partition("=") for pair in header.split(";"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def program_asks(scope: Scope) -> str:
    """Return the name of the program whose token a request has; empty without one."""
    return str(scope.get(PROGRAM, ""))


def who_asks(scope: Scope) -> SignedIn | None:
    """Return the person who is signed in; None where there are no accounts."""
    found = scope.get(WHO)
    return found if isinstance(found, SignedIn) else None


def reach_of_asker(scope: Scope) -> Reach | None:
    """Return to which stations and lots who asks is limited; None to none."""
    found = scope.get(REACH)
    return found if isinstance(found, Reach) else None
