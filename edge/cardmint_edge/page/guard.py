"""Who may ask the page for something: this machine's own browser, and others of the network that know the PIN."""

import hmac
import ipaddress
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlsplit

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import HTTPRouteHandler
from litestar.params import Body
from litestar.response import Redirect
from litestar.status_codes import HTTP_401_UNAUTHORIZED, HTTP_429_TOO_MANY_REQUESTS

from cardmint_edge.page.show import Pages

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

Asked = Request[Any, Any, Any]
Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]


class Door:
    """Lets requests in. Without a PIN only this machine's own are."""

    def __init__(self, pin: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._pin = pin
        self._clock = clock
        self._sessions: dict[str, float] = {}
        self._tries: deque[float] = deque(maxlen=TRIES)
        self._lock = threading.Lock()

    def check(self, request: Asked) -> Redirect | None:
        """Let a request through, send it to the PIN, or raise PermissionDeniedException.

        A foreign Host is a name that was pointed at this machine (DNS rebinding): without a PIN only loopback is its
        own, with one any address or plain name is, and the cookie, which no other site's requests carry, tells. A POST
        must come from the page: browsers say so in Sec-Fetch-Site, and older ones in Origin.
        """
        host = request.headers.get("host", "")
        name = _name(host)
        own = is_loopback(name) and is_loopback(request.client.host if request.client else None)
        if not own and not (self._pin and _is_local(name)):
            raise PermissionDeniedException(detail=f"this page is not served as {host!r}")
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        from_page = site in {None, "same-origin"} and (origin is None or urlsplit(origin).netloc == host)
        if request.method not in _SAFE and not from_page:
            raise PermissionDeniedException(detail="answers are taken from the station's own page only")
        if own or request.url.path in _OPEN or self._knows(request.cookies.get(_COOKIE, "")):
            return None
        return Redirect("/pin", status_code=303)

    def routes(self, pages: Pages) -> list[HTTPRouteHandler]:
        """Return the page that asks for the PIN."""

        @get("/pin", sync_to_thread=True)
        def ask() -> Response[str]:
            return Response(pages.pin(""), media_type="text/html")

        @post("/enter", sync_to_thread=True)
        def enter(data: Form) -> Response[Any]:
            with self._lock:
                now = self._clock()
                if len(self._tries) == TRIES and now - self._tries[0] < TRIES_S:
                    says = "Too many tries; wait a minute."
                    return Response(pages.pin(says), media_type="text/html", status_code=HTTP_429_TOO_MANY_REQUESTS)
                if not self._pin or not hmac.compare_digest(data.get("pin", "").encode(), self._pin.encode()):
                    self._tries.append(now)
                    says = "That is not the PIN."
                    return Response(pages.pin(says), media_type="text/html", status_code=HTTP_401_UNAUTHORIZED)
                session = secrets.token_urlsafe(32)
                self._sessions = {one: until for one, until in self._sessions.items() if until > now}
                self._sessions[session] = now + SESSION_S
            cookie = Cookie(key=_COOKIE, value=session, httponly=True, samesite="strict", max_age=SESSION_S)
            return Redirect("/", status_code=303, cookies=[cookie])

        return [ask, enter]

    def _knows(self, session: str) -> bool:
        return self._sessions.get(session, 0.0) > self._clock()


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
