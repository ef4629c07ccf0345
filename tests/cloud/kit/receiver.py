"""A webhook's target on loopback: it checks signatures as the specification's own library does."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def status(code: int, headers: str = "", body: str = "") -> bytes:
    """Return an answer."""
    return f"HTTP/1.1 {code} X\r\ncontent-length: {len(body)}\r\n{headers}\r\n{body}".encode()


@dataclass
class Receiver:
    """What came, and what is answered: `answers` in turn, then `OK`."""

    port: int = 0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)
    connections: int = 0
    before: Callable[[], Any] = lambda: None
    """Called before each answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?of=shop"

    def verified(self, secret: str, at: int = -1) -> dict[str, Any]:
        """Return a request's body, which the secret signed. Its age is not looked at."""
        headers, body = self.requests[at]
        when = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        signed = Webhook(secret).sign(headers["webhook-id"], when, body.decode())
        assert signed in headers["webhook-signature"].split()
        return dict(json.loads(body))

    @property
    def numbers(self) -> list[int]:
        return [int(json.loads(body)["sequence"]) for _, body in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            path, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            pairs = (line.split(": ", 1) for line in lines)
            headers = {name.lower(): value for name, value in pairs}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append(({**headers, "path": path}, body))
            self.before()
            writer.write(self.answers.pop(0) if self.answers else OK)
            await writer.drain()


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """Serve connections at a free port until the context ends; they end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    done, hanging = await asyncio.wait(tasks, timeout=5) if tasks else (set(), set())
    for task in hanging:
        task.cancel()
    await asyncio.gather(*done, *hanging, return_exceptions=True)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a target until the context ends."""
    receiver = Receiver()
    async with listening(receiver.serve) as receiver.port:
        yield receiver
