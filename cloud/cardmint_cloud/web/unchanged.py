"""Answers to programs that ask again and again: none is made twice while nothing changed.

An answer has an ETag that names how much had been heard of the tenant's changes when it was made,
and how often somebody had changed something here. As long as both are the same, a minute at most, a
program that sends it back (If-None-Match) gets 304, and one that does not gets the answer that was
kept, without a query. Either costs about as much as refusing the request would.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cardmint_cloud.adapters.postgres.connection import reach_setting
from cardmint_cloud.domain.permissions import OPEN_PATHS, tenant_of

LONGEST = timedelta(minutes=1)
"""How long an answer is good for, so that what no notification tells of comes through, too."""

MOST_KEPT = 32
MAX_KEPT_BYTES = 256 << 10
"""Bytes of an answer that is kept; longer ones are made each time."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LISTS = re.compile(r"/api/v1/[^/]+/(items|inventory|reviews|stations|changes|cards(/facets)?)\Z")


class _Answer(NamedTuple):
    """An answer's messages, when it was made, and its state: it is good while that is the same."""

    state: str
    made: int
    messages: tuple[Message, ...]


class _Asked(NamedTuple):
    """What is asked for, the tenant's state, and the second."""

    about: str
    state: str
    second: int

    @property
    def tag(self) -> str:
        return f'W/"{self.state}.{self.about}.{self.second}"'


class UnchangedAnswers:
    """ASGI: answers 304, or what was kept, where that is still true.

    `mark_of` says how much has been heard of a tenant's changes; None while nothing can be heard.
    """

    def __init__(
        self, app: ASGIApp, mark_of: Callable[[str], str | None], clock: Callable[[], datetime]
    ) -> None:
        self._app, self._mark_of, self._clock = app, mark_of, clock
        self._kept: OrderedDict[str, _Answer] = OrderedDict()
        self._changes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless its answer is known."""
        if _may_change(scope):
            try:
                await self._app(scope, receive, send)
            finally:
                self._changes += (
                    1  # Whoever changed something reads it: no notification is waited for.
                )
            return
        asked = self._asked(scope)
        if asked is None:
            await self._app(scope, receive, send)
        elif tag := _tag_that_is_good(scope, asked):
            headers = [(b"etag", tag)]  # Its own: a newer one would be good for another minute.
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif (kept := self._kept.get(asked.about)) and _is_good(kept.state, kept.made, asked):
            self._kept.move_to_end(asked.about)
            for message in kept.messages:
                await send(message)
        else:
            await self._make(asked, scope, receive, send)

    async def _make(self, asked: _Asked, scope: Scope, receive: Receive, send: Send) -> None:
        messages: list[Message] = []
        size = 0

        async def tagged(message: Message) -> None:
            nonlocal size
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = [*message["headers"], (b"etag", asked.tag.encode())]
                message = {**message, "headers": headers}
                messages.append(message)
            elif message["type"] == "http.response.body" and messages:
                size += len(message["body"])
                messages.append(message)
                if size > MAX_KEPT_BYTES:
                    messages.clear()
                elif not message.get("more_body", False):
                    self._keep(asked, messages)
            await send(message)

        await self._app(scope, receive, tagged)

    def _keep(self, asked: _Asked, messages: list[Message]) -> None:
        self._kept[asked.about] = _Answer(asked.state, asked.second, tuple(messages))
        self._kept.move_to_end(asked.about)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def _asked(self, scope: Scope) -> _Asked | None:
        """Return what is asked for, before anything is read for it; None where nothing is kept."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
            return None
        path = str(scope["path"])
        if not _LISTS.match(path):
            return None
        mark = self._mark_of(tenant_of(path) or "")
        if mark is None:
            return None
        about = b"\n".join((path.encode(), bytes(scope["query_string"]), reach_setting().encode()))
        second = int(self._clock().timestamp())
        return _Asked(sha256(about).hexdigest()[:32], f"{mark}-{self._changes}", second)


def _may_change(scope: Scope) -> bool:
    if scope["type"] != ScopeType.HTTP or scope["method"] in _SAFE:
        return False
    return not OPEN_PATHS.match(scope["path"])  # Strangers empty nothing.


def _tag_that_is_good(scope: Scope, asked: _Asked) -> bytes | None:
    """Return the tag of the answer that the program has, where that is the one asked for."""
    sent = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
    before, _, second = sent.decode("latin-1").strip().rstrip('"').rpartition(".")
    state, _, about = before.removeprefix('W/"').rpartition(".")
    if about != asked.about or not second.isdecimal() or len(second) > 12:
        return None
    good = before.startswith('W/"') and _is_good(state, int(second), asked)
    return sent if good else None


def _is_good(state: str, made: int, asked: _Asked) -> bool:
    return state == asked.state and 0 <= asked.second - made <= LONGEST.total_seconds()
