"""Connections to the dashboard: their number, and the time that each may take, are bounded.

uvicorn bounds neither. A client that sends half a request, or does not read its answer, would keep
its connection and what was made for it.
"""

import asyncio
import resource
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 4_000
"""Connections at a time; further ones are closed at once."""

FILES_KEPT = 224
"""Files that a process opens besides: its code, the database, images, logs."""

REQUEST_S = 10.0
"""Seconds that a request's head, or its whole body unless it is a file, may take to come."""

UPLOAD_S = 600.0
"""Seconds that a file's body may take: an image of 8 MiB at 14 kB/s, cards of 32 MiB at 55 kB/s.
`images.SILENCE_S` bounds an image's pauses."""

_FILES = "/items/import"

READ_S = 30.0
"""Seconds for which a client may leave its answer unread."""


def bound_connections() -> None:
    """Let this process open as many files as the system lets it, and bound connections by them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    BoundedConnection.most = (
        MOST if most == resource.RLIM_INFINITY else min(MOST, most - FILES_KEPT)
    )


class BoundedConnection(H11Protocol):
    """One connection, looked at every `check_s` seconds."""

    most = MOST
    request_s = REQUEST_S
    upload_s = UPLOAD_S
    read_s = READ_S
    check_s = 1.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection, or close it when there are too many.

        An answer's head and body are two writes. asyncio lets the second one wait for the client's
        acknowledgement, 40 ms, unless the listening socket names its protocol; uvicorn's does not.
        """
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requested_at = self._written_at = self.loop.time()
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        self._timer = self.loop.call_later(self.check_s, self._check)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop looking at it."""
        self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request from now on."""
        self._requested_at = self.loop.time()
        super().on_response_complete()

    def _check(self) -> None:
        now = self.loop.time()
        if not self.flow.write_paused:
            self._written_at = now
        if now - self._requested_at > self._allowed_s() or now - self._written_at > self.read_s:
            self.transport.abort()
        else:
            self._timer = self.loop.call_later(self.check_s, self._check)

    def _allowed_s(self) -> float:
        """Return the seconds that the request that is coming may take, without end once it came."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            return self.request_s
        if not cycle.more_body:
            return float("inf")
        if self.scope["method"] in {"PUT", "PATCH"} or self.scope["path"].endswith(_FILES):
            return self.upload_s
        return self.request_s
