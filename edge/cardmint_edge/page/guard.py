"""Who may ask the page for something.

This machine's own browser, and others of the network that know the PIN.
"""

import hmac
import ipaddress
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec
import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cardmint_edge.page.forms import Form, posting
from cardmint_edge.page.views import PageRenderer, html

HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer browsers send `Origin: null`, even to the page itself
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
TRIES = 5
TRIES_S = 60.0
SESSION_S = 12 * 3600
_COOKIE = "cardmint-station"
_SAFE = {"GET", "HEAD", "OPTIONS"}
_OPEN = {"/pin", "/enter", "/static/page.css", "/static/icon.svg"}

log = structlog.get_logger(__name__)


class AccessControl:
    """Lets requests in. Without a PIN only this machine's own are."""

    def __init__(self, pin: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._pin = pin
        self._clock = clock
        self._sessions: dict[str, float] = {}
        self._tries: deque[float] = deque(maxlen=TRIES)
        self._lock = threading.Lock()

    def check(self, request: HTTPConnection) -> Response | None:
        """Let a request through, send it to the PIN, or raise HTTPException (403).

        A foreign Host is a name that was pointed at this machine (DNS rebinding): without a PIN
        only loopback is its own, with one any address or plain name is, and the cookie, which no
        other site's requests carry, tells. A POST must come from the page: browsers say so in
        Sec-Fetch-Site, and older ones in Origin.
        """
        host = request.headers.get("host", "")
        name = _name(host)
        own = is_loopback(name) and is_loopback(request.client.host if request.client else None)
        if not own and not (self._pin and _is_local(name)):
            raise HTTPException(403, f"this page is not served as {host!r}")
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        from_page = site in {None, "same-origin"} and (
            origin is None or urlsplit(origin).netloc == host
        )
        if request.scope["method"] not in _SAFE and not from_page:
            raise HTTPException(403, "answers are taken from the station's own page only")
        if own or request.url.path in _OPEN or self._knows(request.cookies.get(_COOKIE, "")):
            return None
        return RedirectResponse("/pin", 303)

    def routes(self, pages: PageRenderer) -> list[Route]:
        """Return the page that asks for the PIN."""

        def ask(_: Request) -> Response:
            return html(pages.pin(""))

        def enter(_: Request, form: Form) -> Response:
            with self._lock:
                now = self._clock()
                if len(self._tries) == TRIES and now - self._tries[0] < TRIES_S:
                    return html(pages.pin("Too many tries; wait a minute."), 429)
                if not self._pin or not hmac.compare_digest(
                    form.get("pin", "").encode(), self._pin.encode()
                ):
                    self._tries.append(now)
                    return html(pages.pin("That is not the PIN."), 401)
                session = secrets.token_urlsafe(32)
                self._sessions = {
                    one: until for one, until in self._sessions.items() if until > now
                }
                self._sessions[session] = now + SESSION_S
            answer = RedirectResponse("/", 303)
            answer.set_cookie(_COOKIE, session, httponly=True, samesite="strict", max_age=SESSION_S)
            return answer

        return [Route("/pin", ask), posting("/enter", enter)]

    def _knows(self, session: str) -> bool:
        return self._sessions.get(session, 0.0) > self._clock()


class GuardedPage:
    """The page behind its door.

    Every answer has the headers, and what cannot be answered is said as JSON.
    """

    def __init__(self, page: ASGIApp, door: AccessControl) -> None:
        self._page = page
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._page(scope, receive, send)
            return
        scope["app"] = self  # With it the router raises what it does not find.
        begun = False

        async def headed(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            refused = self._door.check(HTTPConnection(scope))
            await (refused or self._page)(scope, receive, headed)
        except ClientDisconnect:
            return
        except HTTPException as problem:
            await _problem(problem.status_code, problem.detail)(scope, receive, headed)
        except Exception as error:
            log.exception(
                "the page failed", path=scope["path"], reason=f"{type(error).__name__}: {error}"
            )
            if not begun:
                await _problem(500, "Internal Server Error")(scope, receive, headed)


def _problem(status: int, detail: str) -> Response:
    body = msgspec.json.encode({"status_code": status, "detail": detail})
    return Response(body, status, media_type="application/json")


def is_loopback(name: str | None) -> bool:
    """Return whether a host's name or address is this machine's own."""
    if name is None or name in {"localhost", "testclient"}:
        return name is not None
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_local(name: str | None) -> bool:
    """Whether a name is an address, or one that only a local network gives."""
    if not name:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith((".local", ".lan", ".home.arpa"))
    return True
