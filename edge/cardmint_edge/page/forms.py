"""Forms that are posted.

Read whole, within a limit, then handed to a thread, since what they do waits for the disk.
"""

from collections.abc import Callable
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MAX_BYTES = 64 << 10
MAX_FIELDS = 100

Form = dict[str, str]


def posting(path: str, do: Callable[[Request, Form], Response]) -> Route:
    """Return the route of what is done with a form; of a name that comes twice the last counts."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(do, request, await _form(request))

    return Route(path, endpoint, methods=["POST"])


async def _form(request: Request) -> Form:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BYTES:
            raise HTTPException(413, f"a form has at most {MAX_BYTES >> 10} kB")
    try:
        return dict(
            parse_qsl(
                body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"
            )
        )
    except ValueError:
        raise HTTPException(400, "the form cannot be read") from None
