"""The feed's publisher: what is committed is numbered, published in order, and marked as published.

The worker that holds the slot of a tenant's feed publishes it. The mark follows the broker's
PUBACKs, so that a message may come again after a failure, and none is left out.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import structlog

from cardmint_cloud.adapters.mqtt.connection import InboundMessage, MessageProperties
from cardmint_cloud.adapters.postgres import across
from cardmint_cloud.adapters.postgres import feed as rows
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection, tenant_transaction
from cardmint_cloud.adapters.postgres.feed import FeedMark, NumberedEntry
from cardmint_cloud.adapters.postgres.retry import retry_until_done
from cardmint_cloud.domain.home_assistant import discovery
from cardmint_cloud.domain.rendezvous import slot_of
from cardmint_cloud.feed.events import event_of
from cardmint_cloud.feed.replay import Publish, Replay, ReplayAsked
from cardmint_contracts import topics
from cardmint_contracts.envelope import digits
from cardmint_contracts.feed import EVENT, FEED_TYPES, FeedCounters, FeedStation
from cardmint_contracts.wire import encode

SWEEP_S = 1.0
"""Seconds after which new events are looked for, and snapshots published, if nothing woke us."""

GATHER_S = 0.01
"""Seconds that a wake-up waits for others: one transaction numbers what came meanwhile."""

CHUNK = 100
BUSY_PAUSE_S = 0.1
"""While stations send more than is committed, so many events go out, and so long a pause follows.

Receipts come first: the feed is behind until then, and follows.
"""

MAX_UNDER_WAY = 500
"""Messages without the broker's answer before the next ones wait."""

MAX_ASKED = 1000
"""Requests for a replay that wait; a program whose request is dropped asks again."""

_PROPERTIES = MessageProperties(content_type=EVENT)
_SNAPSHOT = MessageProperties(content_type="application/json")
_log = structlog.get_logger()


class FeedBroker(Protocol):
    """The part of a broker connection that the feed needs."""

    @property
    def connection(self) -> int:
        """Number of the current connection; 0 while there is none."""
        ...

    @property
    def publish(self) -> Publish:
        """What publishes a message."""
        ...


class FeedPublisher:
    """Publishes the feeds whose slots are among `slots()`; `lock` is the fence of a transaction.

    `busy` says whether ingest has work that waits.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        slots: Callable[[], Collection[int]],
        lock: Callable[[PostgresConnection, Collection[int]], Awaitable[set[int]]],
        busy: Callable[[], bool],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._slots = slots
        self._lock = lock
        self._busy = busy
        self._clock = clock
        self._open: frozenset[str] = frozenset()
        self._changed: set[str] = set()
        self._woken = asyncio.Event()
        self._published: dict[str, int] = {}
        self._marked: dict[str, int] = {}
        self._snapshots: dict[str, bytes] = {}
        self._connection = 0
        self._asked: dict[tuple[str, str], ReplayAsked] = {}
        self._asking = asyncio.Event()

    def changed(self, tenant: str) -> None:
        """Publish a tenant's new events soon."""
        if tenant in self._open:
            self._changed.add(tenant)
            self._woken.set()

    def put(self, message: InboundMessage) -> None:
        """Take a message that is no station's: a request for a replay, or nothing of ours."""
        whose = topics.parse_replay(message.topic)
        if whose is None or len(self._asked) >= MAX_ASKED:
            return
        self._asked[whose] = ReplayAsked(
            tenant=whose[0],
            reader=whose[1],
            payload=message.payload,
            response_topic=message.response_topic,
            correlation_data=message.correlation_data,
        )
        self._asking.set()

    async def run(self, broker: FeedBroker) -> None:
        """Publish and answer until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish_changed(broker))
            group.create_task(self._sweep(broker))
            group.create_task(self._answer(broker))

    def _ours(self, tenant: str) -> bool:
        return slot_of(tenant, "feed") in self._slots()

    async def _publish_changed(self, broker: FeedBroker) -> None:
        while True:
            await self._woken.wait()
            await asyncio.sleep(GATHER_S)
            self._woken.clear()
            tenants, self._changed = self._changed, set()
            while tenants:
                for tenant in sorted(tenants):
                    page = partial(self._publish_page, tenant, broker)
                    if not await retry_until_done("feed", page):
                        tenants.discard(tenant)

    async def _publish_page(self, tenant: str, broker: FeedBroker) -> bool:
        """Publish a page of a tenant's events; return whether more may follow at once."""
        if not self._ours(tenant):
            self._published.pop(tenant, None)
            return False
        if not broker.connection:
            return False
        async with tenant_transaction(self._pool, tenant) as connection:
            if not await self._lock(connection, {slot_of(tenant, "feed")}):
                return False
            mark = await rows.number_new(connection, tenant, self._published.get(tenant, 0))
            if mark is None:
                return False
            entries = await rows.numbered_entries(
                connection, tenant, mark.published + 1, mark.numbered
            )
        self._published[tenant] = self._marked[tenant] = mark.published
        return bool(entries) and await self._publish(tenant, mark, entries, broker)

    async def _publish(
        self, tenant: str, mark: FeedMark, entries: Sequence[NumberedEntry], broker: FeedBroker
    ) -> bool:
        """Publish events and count those that the broker has; return whether it has all.

        The next ones go out while the broker answers: it may hold small answers back for 40 ms.
        """
        sent: deque[tuple[int, asyncio.Future[None]]] = deque()
        for at in range(0, len(entries), CHUNK):
            for number, entry in entries[at : at + CHUNK]:
                taken = broker.publish(
                    topics.feed_topic(tenant, FEED_TYPES[entry.type].steps),
                    encode(event_of(tenant, mark.stream, number, entry)),
                    retain=False,
                    properties=_PROPERTIES,
                )
                sent.append((number, taken))
            if not await self._count(tenant, sent, MAX_UNDER_WAY):
                return False
            await asyncio.sleep(BUSY_PAUSE_S if self._busy() else 0)
        return await self._count(tenant, sent, 0)

    async def _count(
        self, tenant: str, sent: deque[tuple[int, asyncio.Future[None]]], most: int
    ) -> bool:
        """Wait until at most `most` messages are under way; return whether the broker took all."""
        while len(sent) > most:
            number, taken = sent.popleft()
            await asyncio.wait([taken])
            if taken.cancelled():
                return False
            self._published[tenant] = number
        return True

    async def _sweep(self, broker: FeedBroker) -> None:
        """Look for what nobody woke us for, mark what is published, and publish snapshots."""
        while True:
            self._open = frozenset(await retry_until_done("feed", self._find_open))
            ours = sorted(filter(self._ours, self._open))
            for tenant in ours:
                self.changed(tenant)
                await retry_until_done("feed", partial(self._mark, tenant))
                await retry_until_done("feed", partial(self._publish_snapshots, tenant, broker))
            await asyncio.sleep(SWEEP_S)

    async def _find_open(self) -> list[str]:
        return await across.tenants_with_feeds(self._pool)

    async def _mark(self, tenant: str) -> None:
        published = self._published.get(tenant, 0)
        if published <= self._marked.get(tenant, 0):
            return
        async with tenant_transaction(self._pool, tenant) as connection:
            if await self._lock(connection, {slot_of(tenant, "feed")}):
                await rows.put_published(connection, tenant, published)
                self._marked[tenant] = published

    async def _publish_snapshots(self, tenant: str, broker: FeedBroker) -> None:
        """Publish what changed of a tenant's stations and counts; all on a new connection."""
        if broker.connection != self._connection:
            self._connection = broker.connection
            self._snapshots.clear()
        if not self._connection:
            return
        async with tenant_transaction(self._pool, tenant) as connection:
            mark = await rows.mark_of(connection, tenant)
            stations = await rows.stations(connection, tenant)
            cards, reviews = await rows.counters(connection, tenant)
        if mark is None:
            return
        now = {
            topics.feed_station_topic(tenant, row["station"]): encode(FeedStation(**row))
            for row in stations
        }
        devices = discovery(tenant, {row["station"]: row["version"] for row in stations})
        now |= {topic: encode(device) for topic, device in devices.items()}
        counters = FeedCounters(
            stream=mark.stream,
            sequence=digits(self._published.get(tenant, mark.published)),
            time=self._clock(),
            cards=cards,
            reviews=reviews,
            stations=sum(row["online"] for row in stations),
        )
        # Without the moment: counts that did not change are not published again.
        counts = encode((counters.sequence, cards, reviews, counters.stations))
        topic = topics.feed_counters_topic(tenant)
        if self._snapshots.get(topic) != counts:
            self._snapshots[topic] = counts
            broker.publish(topic, encode(counters), retain=True, properties=_SNAPSHOT)
        for topic, payload in now.items():
            if self._snapshots.get(topic) != payload:
                self._snapshots[topic] = payload
                broker.publish(topic, payload, retain=True, properties=_SNAPSHOT)

    async def _answer(self, broker: FeedBroker) -> None:
        """Answer the requests of programs whose feed is ours, one after another."""
        replay = Replay(self._pool)
        while True:
            await self._asking.wait()
            self._asking.clear()
            while self._asked:
                asked = self._asked.pop(next(iter(self._asked)))
                if self._ours(asked.tenant):
                    await retry_until_done("replay", partial(replay.answer, asked, broker.publish))
