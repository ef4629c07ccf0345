"""HTTP requests as text, put to an ASGI application without a server."""

import asyncio
import re
from typing import Any
from urllib.parse import unquote

from structlog.testing import capture_logs

from tests.fuzz.target import ServerFault

SERVER_FAULTS = {500, 503}


def request_text(method: str, path: str, body: str = "", **headers: str) -> bytes:
    """Return a request of the page itself, as a browser sends it."""
    named = {"host": "localhost", "origin": "http://localhost", "content-length": str(len(body))}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {**named, **headers}.items()]
    return "\n".join([f"{method} {path}", *lines, "", body]).encode()


async def ask(app: Any, text: bytes) -> None:
    """Put a request to an application.

    A server decodes the path and checks the method before the application sees them.

    Raises:
        ServerFault: the answer is a fault of the server.
    """
    head, _, body = text.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.partition(b" ")
    raw_path, _, query = target.partition(b"?")
    if not (method.isalpha() and method.isascii() and raw_path.startswith(b"/")):
        return
    if not raw_path.isascii() or any(byte <= 32 or byte == 127 for byte in raw_path + query):
        return
    headers = [
        (name.strip().lower(), value.strip())
        for name, colon, value in (line.partition(b":") for line in lines)
        if colon and name.strip() and not {0, 10, 13} & set(name + value)
    ]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method.decode().upper(),
        "scheme": "http",
        "path": unquote(raw_path.decode()),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    parts = [{"type": "http.request", "body": body, "more_body": False}]
    status: list[int] = []

    async def receive() -> dict[str, Any]:
        return parts.pop() if parts else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    with capture_logs() as logs:
        async with asyncio.timeout(20):
            await app(scope, receive, send)
    if not status or status[0] in SERVER_FAULTS:
        errors = [entry.get("reason", repr(entry.get("exc_info"))) for entry in logs]
        raise ServerFault(f"answered {status}: {re.sub(r'[0-9]+', 'N', str(errors))[:80]}")
