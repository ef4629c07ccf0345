"""The page's server: uvicorn in a thread, on a socket that is bound before all else starts."""

import socket

import uvicorn
from starlette.types import ASGIApp

from cardmint_edge.errors import Stop
from cardmint_edge.page.connections import BACKLOG, REQUEST_S, limits


class PageServer:
    """Serves the page until `stop`."""

    def __init__(self, host: str, port: int, *, request_s: float = REQUEST_S) -> None:
        """Bind the port; 0 takes a free one. A request may take `request_s` seconds.

        Raises:
            Stop: the port is taken.
        """
        self._request_s = request_s
        try:
            self._socket = socket.create_server(
                (host, port),
                family=socket.AF_INET6 if ":" in host else socket.AF_INET,
                backlog=BACKLOG,
            )
        except OSError as error:
            raise Stop(
                f"station.page_port: cannot serve the page on {host}:{port}: {error.strerror}"
            ) from error
        self._server: uvicorn.Server | None = None
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def show(self, page: ASGIApp) -> None:
        """Set the page to serve."""
        self._server = uvicorn.Server(
            uvicorn.Config(
                page,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
                lifespan="off",
                **limits(self._request_s),
            )
        )

    def run(self) -> None:
        """Serve until `stop`."""
        if self._server is not None:
            self._server.run(sockets=[self._socket])

    def close(self) -> None:
        """Release the port of a server that does not run."""
        self._socket.close()

    def stop(self) -> None:
        """Make `run` return."""
        if self._server is not None:
            self._server.should_exit = True
