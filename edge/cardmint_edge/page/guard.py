"""Access control of the page: this machine's browser, and other machines that know the PIN."""

import hmac
import ipaddress
import secrets
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cardmint_edge.page.forms import Form, form_route
from cardmint_edge.page.pin_tries import PinTries
from cardmint_edge.page.views import PageRenderer, html

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    # With no-referrer browsers send `Origin: null` even to the page itself.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
SESSION_S = 12 * 3600
_COOKIE = "cardmint-station"
_READING_METHODS = {"GET", "HEAD", "OPTIONS"}
_AFTER_PIN = {"/", "/phone"}
"""Pages to which the PIN may lead."""

_WITHOUT_SESSION = {"/pin", "/enter", "/static/page.css", "/static/icon.svg"}

log = structlog.get_logger(__name__)


class AccessControl:
    """Accepts or refuses requests. Without a PIN it accepts only those of this machine."""

    def __init__(self, pin: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._pin = pin
        self._clock = clock
        self._sessions: dict[str, float] = {}
        self._tries = PinTries()
        self._lock = threading.Lock()

    def check(self, request: HTTPConnection) -> Response | None:
        """Return None for an accepted request, or a redirection to the page that asks for the PIN.

        A Host of another site means that its name was pointed at this machine (DNS rebinding).
        Without a PIN only loopback names are accepted; with one any address or local name is, and
        the session's cookie decides, which requests of other sites do not carry. A POST must come
        from the page itself: browsers send Sec-Fetch-Site, older ones Origin.

        Raises:
            HTTPException: the request is refused (403).
        """
        host = request.headers.get("host", "")
        name = _host_name(host)
        own = is_loopback(name) and is_loopback(request.client.host if request.client else None)
        if not own and not (self._pin and _is_local(name)):
            raise HTTPException(403, f"this page is not served under the name {host!r}")
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        from_page = site in {None, "same-origin"} and (origin is None or _netloc(origin) == host)
        if request.scope["method"] not in _READING_METHODS and not from_page:
            raise HTTPException(403, "only the station's own page may send this")
        if (
            own
            or request.url.path in _WITHOUT_SESSION
            or self._has_session(request.cookies.get(_COOKIE, ""))
        ):
            return None
        return RedirectResponse("/pin?next=/phone" if request.url.path == "/phone" else "/pin", 303)

    def routes(self, renderer: PageRenderer) -> list[Route]:
        """Return the routes of the page that asks for the PIN."""

        def ask(request: Request) -> Response:
            return html(renderer.pin("", _next(request.query_params.get("next", ""))))

        def enter(request: Request, form: Form) -> Response:
            address = request.client.host if request.client else ""
            after = _next(form.get("next", ""))
            with self._lock:
                now = self._clock()
                if not self._tries.may_try(address, now):
                    return html(renderer.pin("Too many tries; wait a minute.", after), 429)
                if not self._pin or not hmac.compare_digest(
                    form.get("pin", "").encode(), self._pin.encode()
                ):
                    self._tries.wrong(address, now)
                    return html(renderer.pin("That is not the PIN.", after), 401)
                self._tries.right(address)
                session = secrets.token_urlsafe(32)
                self._sessions = {
                    name: until for name, until in self._sessions.items() if until > now
                }
                self._sessions[session] = now + SESSION_S
            answer = RedirectResponse(after, 303)
            answer.set_cookie(_COOKIE, session, httponly=True, samesite="strict", max_age=SESSION_S)
            return answer

        return [Route("/pin", ask), form_route("/enter", enter)]

    def _has_session(self, session: str) -> bool:
        return self._sessions.get(session, 0.0) > self._clock()


class GuardedPage:
    """The page behind its access control.

    Every response gets the security headers. Errors are answered as JSON.
    """

    def __init__(self, page: ASGIApp, access: AccessControl) -> None:
        self._page = page
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._page(scope, receive, send)
            return
        scope["app"] = self  # with it the router raises HTTPException for an unknown path
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            refused = self._access.check(HTTPConnection(scope))
            await (refused or self._page)(scope, receive, send_with_headers)
        except ClientDisconnect:
            return
        except HTTPException as error:
            await _error_response(error.status_code, error.detail)(
                scope, receive, send_with_headers
            )
        except Exception as error:
            log.exception(
                "the page failed", path=scope["path"], reason=f"{type(error).__name__}: {error}"
            )
            if not started:
                await _error_response(500, "Internal Server Error")(
                    scope, receive, send_with_headers
                )


def _error_response(status: int, detail: str) -> Response:
    body = msgspec.json.encode({"status_code": status, "detail": detail})
    # What is too large is not read to its end.
    headers = {"connection": "close"} if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else None
    return Response(body, status, headers=headers, media_type="application/json")


def _next(path: str) -> str:
    """Return where the PIN leads: one of the station's own pages."""
    return path if path in _AFTER_PIN else "/"


def is_loopback(name: str | None) -> bool:
    """Return whether a host name or address is a loopback one."""
    if name is None or name in {"localhost", "testclient"}:
        return name is not None
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _is_local(name: str | None) -> bool:
    """Whether a host name is an IP address, or a name of a local network."""
    if not name:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in name or name.endswith((".local", ".lan", ".home.arpa"))
    return True
