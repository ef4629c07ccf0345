"""Checks of every request's host and origin, and the security headers of every answer.

Attacks come through the browser: a foreign page that posts here with the session's cookie, or a
host name that resolves to this machine.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " object-src 'none';"
    " base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"cache-control": b"no-store",
}
"""Headers of every answer that does not set them itself."""

_BY_HTTPS = {b"strict-transport-security": b"max-age=31536000"}


class RequestGuard:
    """ASGI: refuses foreign hosts and origins, and sets the security headers.

    `hosts` are names without a port. With `secure`, browsers are told to come by HTTPS only.
    """

    def __init__(
        self, app: ASGIApp, hosts: Iterable[str] = LOOPBACK, *, secure: bool = False
    ) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._headers = _HEADERS | (_BY_HTTPS if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                headers = [
                    (name, value) for name, value in self._headers.items() if name not in present
                ]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        refusal = self._refusal(scope["method"], headers)
        if not bytes(scope["query_string"]).isascii():
            refusal = 400, "The address has bytes that must be written as %XX.\n"
        if refusal is not None:
            await send_text(guarded, *refusal)
            return
        await self._app(scope, receive, guarded)

    def _refusal(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        name = host[: host.rfind(":")] if host.rfind(":") > host.rfind("]") else host
        if name.lower() not in self._hosts:
            return 421, "This service does not answer to that host name.\n"
        if method in {"GET", "HEAD", "OPTIONS"}:
            return None
        foreign = headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}
        origin = headers.get("origin")
        if foreign or (origin is not None and _authority(origin) != host):
            return 403, "Another site's page may not change anything here.\n"
        return None


async def send_text(
    send: Send, status: int, text: str, headers: Mapping[str, str] | None = None
) -> None:
    """Send a whole answer of plain text, with more `headers`."""
    start: Any = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"text/plain; charset=utf-8"),
            *((name.encode(), value.encode()) for name, value in (headers or {}).items()),
        ],
    }
    body: Any = {"type": "http.response.body", "body": text.encode(), "more_body": False}
    await send(start)
    await send(body)


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # Such as a bracket that is not closed.
        return None
