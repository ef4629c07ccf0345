"""The dashboard under a path of a host that serves other things, too (`web.base_path`).

Pages and answers know nothing of it: their addresses begin with `/`. Here the path is taken off
each request, and put before each address of an answer.
"""

import re
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cardmint_cloud.web.guards import send_text

_ADDRESS = re.compile(rb'(?P<before>\s(?:href|src|action|sse-connect|hx-(?:get|post))=")/(?!/)')
_HEADERS = frozenset({b"location", b"hx-redirect", b"hx-push-url"})


class BasePath:
    """ASGI: serves the app under a path."""

    def __init__(self, app: ASGIApp, base: str) -> None:
        """Take the app and a path such as `/cards`."""
        self._app, self._base = app, base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is under the path; anything else does not exist."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        path = str(scope["path"])
        if path == self._base:
            await send_text(send, 308, "It is one further.\n", {"location": f"{self._base}/"})
            return
        if not path.startswith(f"{self._base}/"):
            await send_text(send, 404, "There is nothing under that address.\n")
            return
        scope["path"] = path.removeprefix(self._base)
        scope["raw_path"] = scope["path"].encode()
        await self._app(scope, receive, _Rewritten(send, self._base.encode()))


class _Rewritten:
    """A `send` that puts the path before the addresses of an answer; pages are gathered for it."""

    def __init__(self, send: Send, base: bytes) -> None:
        self._send, self._base = send, base
        self._start: Any = None
        self._page = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body" and self._start is not None:
            self._page += message["body"]
            if not message["more_body"]:
                await self._send_page()
        else:
            await self._send(message)

    async def _begin(self, message: Any) -> None:
        headers = [
            (name, self._base + value if _is_own(name, value) else value)
            for name, value in message["headers"]
        ]
        start = {**message, "headers": headers}
        kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
        if kind.startswith(b"text/html"):
            self._start = start
        else:
            await self._send(start)  # type: ignore[arg-type]

    async def _send_page(self) -> None:
        page = _ADDRESS.sub(rb"\g<before>" + self._base + b"/", self._page)
        headers = [one for one in self._start["headers"] if one[0].lower() != b"content-length"]
        headers.append((b"content-length", str(len(page)).encode()))
        start: Any = {**self._start, "headers": headers}
        self._start = None
        await self._send(start)
        await self._send({"type": "http.response.body", "body": page, "more_body": False})


def _is_own(name: bytes, value: bytes) -> bool:
    return name.lower() in _HEADERS and value.startswith(b"/") and not value.startswith(b"//")
