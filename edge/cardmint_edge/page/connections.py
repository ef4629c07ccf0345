"""Limits of the page's connections: how many, and how long one may take for a request.

The page shares the process with counting, and must not use up its file descriptors.
"""

import asyncio
import resource
import socket
from functools import partial
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from cardmint_edge.page.guard import is_loopback

MAX_CONNECTIONS = 64
MAX_OF_ADDRESS = 16
"""Connections of one address: a browser opens six."""

REQUEST_S = 10.0
"""Seconds from the connection, or the last response, until a response is written completely."""

MAX_HEADER_BYTES = 16 << 10
BACKLOG = 16
"""Connections that are accepted at once: each has a descriptor before it can be refused."""


def max_connections() -> int:
    """Return how many connections the page may have: a quarter of the process's descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft < 0 else max(4, min(MAX_CONNECTIONS, soft // 4))


class LimitedConnection(H11Protocol):
    """A connection that is refused when there are too many, and ended when it is too slow."""

    def __init__(self, *args: Any, request_s: float = REQUEST_S, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_s = request_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Take the connection, or end it at once.

        An answer's head and body are two writes. asyncio lets the second one wait for the client's
        acknowledgement, 40 ms, unless the listening socket names its protocol.
        """
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        if self._too_many():
            transport.abort()
        else:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._clear_deadline()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Give the next request its time."""
        self._set_deadline()
        super().on_response_complete()

    def _too_many(self) -> bool:
        address = self.client[0] if self.client else ""
        same = sum(
            isinstance(one, LimitedConnection)
            and one.client is not None
            and one.client[0] == address
            for one in self.connections
        )
        # This machine's own browser is let in however many others there are.
        full = len(self.connections) > max_connections() and not is_loopback(address)
        return full or same > MAX_OF_ADDRESS

    def _set_deadline(self) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(self._request_s, self.transport.abort)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limits(request_s: float = REQUEST_S) -> dict[str, Any]:
    """Return uvicorn's settings that keep the limits."""
    return {
        "http": partial(LimitedConnection, request_s=request_s),
        "ws": "none",
        "backlog": BACKLOG,
        "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
        "proxy_headers": False,
    }
