"""Posted forms: read completely within a limit, then handled in a thread.

Handlers wait for the disk, which must not block other requests.
"""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cardmint_contracts.cards import Edition, Finish, Language
from cardmint_contracts.wire import convert

MAX_BYTES = 64 << 10
MAX_FIELDS = 100
MAX_VERSION_DIGITS = 10
"""Digits of a task's version in the contract."""

Form = dict[str, str]

Variant = TypeVar("Variant", Finish, Edition)


def form_route(path: str, handle: Callable[[Request, Form], Response]) -> Route:
    """Return the route of a form's handler. Of fields with the same name the last counts."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(handle, request, await _form(request))

    return Route(path, endpoint, methods=["POST"])


def task_version(text: str) -> int:
    """Return the version of a task in a form or an address.

    Raises:
        HTTPException: it is no version (400).
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_VERSION_DIGITS):
        raise HTTPException(400, "the version of the task is missing or no number")
    return int(text)


def answered_language(text: str) -> Language | None:
    """Return the language of an answer; None for an empty text.

    Raises:
        HTTPException: it is no language's code (400).
    """
    try:
        return convert(text, Language) if text else None
    except msgspec.ValidationError:
        raise HTTPException(400, "the language of the answer is no code such as fr") from None


def answered_variant(text: str, kind: type[Variant]) -> Variant | None:
    """Return the finish or edition of an answer; None for an empty text.

    Raises:
        HTTPException: there is none of this name (400).
    """
    try:
        return kind(text) if text else None
    except ValueError:
        message = f"the {kind.__name__.lower()} of the answer is none of {', '.join(kind)}"
        raise HTTPException(400, message) from None


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
