"""Slow, half-sent and too many connections are closed, and others are served meanwhile."""

import asyncio
import resource
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from cardmint_cloud.web.connections import FILES_KEPT, MOST, BoundedConnection, bound_connections
from tests.cloud.kit.web import serve

HEAD = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Hasty(BoundedConnection):
    """The same bounds, reached sooner."""

    most = 50
    request_s = 0.3
    upload_s = 0.6
    read_s = 0.3
    check_s = 0.05


class App:
    """ASGI: reads the request's body, then answers with `size` bytes after `wait_s`."""

    def __init__(self, size: int = 2, wait_s: float = 0.0) -> None:
        self.size, self.wait_s = size, wait_s
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ended.put_nowait("disconnected")
                return
            more = message["more_body"]
        await asyncio.sleep(self.wait_s)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(0, self.size, 1 << 16):
            body = bytes(min(self.size, 1 << 16))
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.ended.put_nowait("answered")


async def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    taken: list[asyncio.Transport] = []

    class Seen(Hasty):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            taken.append(transport)

    async with serve(App(), http=Seen) as site:
        await site.get("/")
        (one,) = taken
        accepted = one.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def opened(site: httpx.AsyncClient) -> Streams:
    return await asyncio.open_connection("127.0.0.1", urlsplit(str(site.base_url)).port)


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Return what came before the end."""
    came = b""
    async with asyncio.timeout(20):
        while True:
            try:
                if not (chunk := await reader.read(1 << 16)):
                    return came
            except ConnectionResetError:
                return came
            came += chunk


@pytest.mark.parametrize(
    ("sent", "before"),
    [
        (b"", b""),
        (b"GET / HT", b""),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx", b""),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf", b""),
        (b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf", b""),
        (HEAD + b"GET / H", b"HTTP/1.1 200 OK"),
    ],
    ids=["nothing", "a line", "a head", "a form", "an upload", "the second request"],
)
async def test_half_a_request_is_closed(sent: bytes, before: bytes) -> None:
    async with serve(App(), Hasty) as site:
        reader, writer = await opened(site)
        writer.write(sent)
        assert (await closed(reader)).startswith(before)
        writer.close()


async def test_300_half_sent_requests_keep_nobody_out() -> None:
    async with serve(App(), Hasty) as site:
        half = [await opened(site) for _ in range(300)]
        for _, writer in half:
            writer.write(b"GET / HTTP/1.1\r\n")
        for reader, writer in half:
            await closed(reader)
            writer.close()
        assert (await site.get("/")).status_code == 200


async def test_a_client_that_sends_a_byte_at_a_time_is_closed() -> None:
    async with serve(App(), Hasty) as site:
        reader, writer = await opened(site)
        ending = asyncio.create_task(closed(reader))
        while not ending.done():
            writer.write(b"G")
            await asyncio.sleep(0.05)
        writer.close()


async def test_a_client_that_does_not_read_is_closed() -> None:
    app = App(size=64 << 20)
    async with serve(app, Hasty) as site:
        _, writer = await opened(site)
        writer.write(HEAD)
        assert await asyncio.wait_for(app.ended.get(), 20) == "answered"
        writer.close()


async def test_an_answer_may_take_its_time() -> None:
    async with serve(App(wait_s=1.5), Hasty) as site:
        assert (await site.get("/")).status_code == 200


@pytest.mark.parametrize(
    ("files", "connections"),
    [(1024, 1024 - FILES_KEPT), (1 << 20, MOST), (resource.RLIM_INFINITY, MOST)],
)
def test_connections_leave_files_to_the_rest(
    monkeypatch: pytest.MonkeyPatch, files: int, connections: int
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, files))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: limits.append(limit))
    monkeypatch.setattr(BoundedConnection, "most", 1)
    bound_connections()
    assert (limits, BoundedConnection.most) == ([(files, files)], connections)
