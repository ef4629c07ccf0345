"""Replay: a program asks for the feed's events from a number on, and gets them in batches.

A batch is one message of up to `MAX_BATCH_BYTES`, so that a slow program's queue at the broker, in
which mosquitto keeps 1,000 messages, has room for the longest answer.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from cardmint_cloud.adapters.mqtt.connection import MessageProperties
from cardmint_cloud.adapters.postgres import feed as rows
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.domain.feed import replay_refusal
from cardmint_cloud.feed.events import event_of
from cardmint_contracts import topics
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.errors import ContractError
from cardmint_contracts.feed import NEWEST, NEXT, ReplayRefusal, ReplayRequest
from cardmint_contracts.wire import decode, encode

MAX_BATCH_BYTES = 64_000
MAX_REQUEST_BYTES = 1000


class ReplayAsked(Struct, frozen=True, kw_only=True):
    """A request as it came, and who asks: the broker's rules hold the reader to its own topic."""

    tenant: str
    reader: str
    payload: bytes
    response_topic: str | None = None
    correlation_data: bytes | None = None


class Publish(Protocol):
    """Publishes a message; the future is cancelled if the broker does not get or take it."""

    def __call__(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = True,
        properties: MessageProperties | None = None,
    ) -> asyncio.Future[None]:
        """Publish."""
        ...


class Replay:
    """Answers requests with all that has a number: what is not published yet comes again then."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def answer(self, asked: ReplayAsked, publish: Publish) -> None:
        """Publish the events that a program asked for, or why it does not get them.

        The last message has the user properties `next` and `newest`. A broker that goes away ends
        the answer: the program asks again.
        """
        found = await self._read(asked)
        if isinstance(found, ReplayRefusal):
            await self._publish(asked, publish, encode(found), "application/json")
            return
        request, stream, newest = found
        at, last = request.first, min(newest, request.first + request.limit - 1)
        while True:
            async with tenant_transaction(self._pool, asked.tenant) as connection:
                page = await rows.numbered_entries(connection, asked.tenant, at, last)
            events = [
                encode(event_of(asked.tenant, stream, number, entry)) for number, entry in page
            ]
            at += len(events)
            ended = at > last or not events
            batches = list(_batches(events)) or [b"[]"]
            for number, batch in enumerate(batches, start=1):
                user: tuple[tuple[str, str], ...] = ()
                if ended and number == len(batches):
                    user = ((NEXT, str(at)), (NEWEST, str(newest)))
                if not await self._publish(asked, publish, batch, BATCH, user):
                    return
            if ended:
                return

    async def _read(self, asked: ReplayAsked) -> tuple[ReplayRequest, UUID, int] | ReplayRefusal:
        own = topics.replay_answer_topic(asked.tenant, asked.reader)
        if asked.response_topic not in {None, own}:
            return ReplayRefusal(
                reason="wrong-place", detail=f"the response topic can only be {own}"
            )
        try:
            request = decode(asked.payload, ReplayRequest, max_bytes=MAX_REQUEST_BYTES)
        except ContractError as error:
            return ReplayRefusal(reason="unreadable", detail=str(error)[:200])
        async with tenant_transaction(self._pool, asked.tenant) as connection:
            mark = await rows.mark_of(connection, asked.tenant)
            oldest = await rows.oldest_number(connection, asked.tenant)
        if mark is None:
            return ReplayRefusal(reason="no-feed", detail="this tenant has no feed; open it first")
        refusal = replay_refusal(request, mark.stream, oldest=oldest, newest=mark.numbered)
        return refusal or (request, mark.stream, mark.numbered)

    async def _publish(
        self,
        asked: ReplayAsked,
        publish: Publish,
        payload: bytes,
        content_type: str,
        user: tuple[tuple[str, str], ...] = (),
    ) -> bool:
        """Publish one message; return whether the broker has it."""
        taken = publish(
            topics.replay_answer_topic(asked.tenant, asked.reader),
            payload,
            retain=False,
            properties=MessageProperties(
                content_type=content_type,
                correlation_data=asked.correlation_data,
                user=user,
            ),
        )
        await asyncio.wait([taken])
        return not taken.cancelled()


def _batches(events: Sequence[bytes]) -> Iterator[bytes]:
    """Join encoded events to JSON arrays of at most `MAX_BATCH_BYTES`, one event at least."""
    batch: list[bytes] = []
    size = 0
    for event in events:
        if batch and size + len(event) > MAX_BATCH_BYTES:
            yield b"[" + b",".join(batch) + b"]"
            batch, size = [], 0
        batch.append(event)
        size += len(event) + 1
    if batch:
        yield b"[" + b",".join(batch) + b"]"
