"""A TCP proxy on loopback with faults: it cuts, holds back, or half-closes connections."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine
from typing import Any


class FaultyProxy:
    """Forwards a port, any free one or `port`, to another, in a thread of its own.

    Random faults are drawn from `draw`.
    """

    def __init__(self, target: int, draw: random.Random, *, port: int = 0) -> None:
        self.target = target
        self._draw = draw
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._refuses = False
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server = self._do(
            asyncio.start_server(self._accept, "127.0.0.1", port)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Cut everything and end."""
        self.cut()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()  # Refused while it runs.

    def cut(self) -> None:
        """Reset every connection."""
        self._do(self._cut())

    def drop(self, seconds: float) -> None:
        """Reset every connection, and refuse new ones for a while."""
        self._do(self._drop(seconds))

    def hold(self, seconds: float) -> None:
        """Let nothing through for a while, in either direction."""
        self._do(self._hold(seconds))

    def half_close(self) -> None:
        """End one direction of one connection; the other one stays."""
        self._do(self._half_close())

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut(self) -> None:
        for link in list(self._links):
            for writer in link:
                writer.transport.abort()

    async def _drop(self, seconds: float) -> None:
        self._refuses = True
        await self._cut()
        self._loop.call_later(seconds, self._accept_again)

    def _accept_again(self) -> None:
        self._refuses = False

    async def _hold(self, seconds: float) -> None:
        self._open.clear()
        self._loop.call_later(seconds, self._open.set)

    async def _half_close(self) -> None:
        if self._links:
            writer = self._draw.choice(self._draw.choice(sorted(self._links, key=id)))
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = (writer, far)
        self._links.add(link)
        try:
            await asyncio.gather(self._pump(reader, far), self._pump(far_reader, writer))
        finally:
            self._links.discard(link)
            for one in link:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while data := await reader.read(1 << 16):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()
