"""The dashboard served on a free port."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import uvicorn

from cardmint_cloud.web.connections import BoundedConnection

HTMX_REQUEST = {"hx-request": "true"}
"""The header with which htmx asks for a part of a page."""


@contextlib.asynccontextmanager
async def serve(app: Any, http: Any = BoundedConnection) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the app, which runs until the context ends."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            ws="none",
            http=http,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
    )
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with asyncio.timeout(30):
            while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn has no event for it
                await asyncio.sleep(0.01)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 30)


def plain(answer: httpx.Response) -> str:
    """Return a page with one space in place of each run of white space, as a browser shows it."""
    return " ".join(answer.text.split())
