"""Answers to programs that ask again and again: 304 as long as nothing of the tenant changed.

An answer has an ETag that names how much had been heard of the tenant's changes when it was made.
A program that sends it back (If-None-Match) gets 304, without a query, until the next change is
heard of, a minute at most. It costs about as much as refusing the request would.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cardmint_cloud.adapters.postgres.connection import reach_setting
from cardmint_cloud.domain.permissions import tenant_of

LONGEST = timedelta(minutes=1)
"""How long a tag is good for, so that what no notification tells of comes through, too."""

_LISTS = re.compile(r"/api/v1/[^/]+/(items|inventory|reviews|stations|changes|cards(/facets)?)\Z")


class UnchangedAnswers:
    """ASGI: answers 304 where what a program has is still true.

    `mark_of` says how much has been heard of a tenant's changes; None while nothing can be heard.
    """

    def __init__(
        self, app: ASGIApp, mark_of: Callable[[str], str | None], clock: Callable[[], datetime]
    ) -> None:
        self._app, self._mark_of, self._clock = app, mark_of, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless its answer is known to be the same."""
        tag = self._tag(scope)
        if tag is None:
            await self._app(scope, receive, send)
            return
        headers = [(b"etag", tag.encode())]
        if self._is_good(scope, tag):
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self._app(scope, receive, tagged)

    def _tag(self, scope: Scope) -> str | None:
        """Return the tag of an answer that is made now, before anything is read for it."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
            return None
        path = str(scope["path"])
        if not _LISTS.match(path):
            return None
        mark = self._mark_of(tenant_of(path) or "")
        if mark is None:
            return None
        about = b"\n".join((path.encode(), bytes(scope["query_string"]), reach_setting().encode()))
        seconds = int(self._clock().timestamp())
        return f'W/"{mark}.{sha256(about).hexdigest()[:16]}.{seconds}"'

    def _is_good(self, scope: Scope, tag: str) -> bool:
        sent = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
        before, _, seconds = sent.decode("latin-1").strip().rstrip('"').rpartition(".")
        now, _, at = tag.rstrip('"').rpartition(".")
        if before != now or not seconds.isdecimal() or len(seconds) > 12:
            return False
        return 0 <= int(at) - int(seconds) <= LONGEST.total_seconds()
