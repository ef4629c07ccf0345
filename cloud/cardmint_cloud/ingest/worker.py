"""The worker: takes what stations publish, commits it and sends receipts."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID, uuid4

import structlog
from msgspec import Struct

from cardmint_cloud import log_months
from cardmint_cloud.adapters.mqtt.connection import InboundMessage
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection, tenant_transaction
from cardmint_cloud.adapters.postgres.fleet import stations
from cardmint_cloud.adapters.postgres.ingest import event_log
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter
from cardmint_cloud.adapters.postgres.ingest.inventory import PrintingKey
from cardmint_cloud.adapters.postgres.retry import retry_until_done
from cardmint_cloud.domain.rendezvous import slot_of
from cardmint_cloud.domain.stream_position import BatchRefusal, StreamMark
from cardmint_cloud.errors import MissingPartition
from cardmint_cloud.feed.publish import FeedBroker, FeedPublisher
from cardmint_cloud.fleet import FleetPublisher
from cardmint_cloud.ingest.commit import CommitResult, commit, receipt_of, refusal_receipt
from cardmint_cloud.ingest.leases import LeaseBroker, SlotLeases
from cardmint_cloud.ingest.read import EventBatch, read_message, unreadable_letter
from cardmint_cloud.ingest.receipts import ReceiptPublisher
from cardmint_cloud.reviews.dispatch import ReviewDispatcher
from cardmint_cloud.reviews.stray_tasks import StrayTasks, TaskBroker
from cardmint_contracts import topics
from cardmint_contracts.control import ReportedConfig
from cardmint_contracts.errors import BadTopic, ContractError
from cardmint_contracts.notifications import CHANNEL, Subject
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import decode

LANES = 3
"""Transactions at a time, each for stations of its own.

The Python work of one runs while Postgres works on another.
"""

MAX_GROUP_EVENTS = 2000
MAX_GROUP_BYTES = 4 << 20
"""Most events and bytes of one transaction; the last message may exceed them."""

MAX_KNOWN = 200_000
"""Topics, and printings, that a worker remembers before it begins anew."""

_EVENTS_BETWEEN_YIELDS = 100
"""Events that are read before other tasks may run."""

_TOLD = frozenset({Subject.ITEMS, Subject.REVIEWS, Subject.PRICES, Subject.STATIONS})
"""Subjects of notifications with which the feed has something to tell."""

_log = structlog.get_logger()


class TopicRoute(NamedTuple):
    """A parsed topic: its tenant, station and kind, and the slot that the station belongs to."""

    tenant: str
    station: str
    kind: topics.Kind
    slot: int


class PendingMessage(Struct, kw_only=True, gc=False):
    """A message that waits for its transaction, and the batch that was read from it."""

    message: InboundMessage
    route: TopicRoute | None
    batch: EventBatch | DeadLetter | None = None

    @property
    def slot(self) -> int:
        """Slot of the station; -1 when the topic is not a station's."""
        return self.route.slot if self.route else -1


class IngestBroker(FeedBroker, LeaseBroker, TaskBroker, Protocol):
    """The part of a broker connection that the worker needs."""

    def acknowledge(self, messages: Sequence[InboundMessage]) -> None:
        """Acknowledge messages that were committed."""
        ...


class Worker:
    """Ingest and dispatch over one broker and one database.

    `put` takes messages; `run` works until cancelled. The names of the pool's sessions carry `name`
    (`leases.session_name`). `listening` is a pool past a pooler, if there is one.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        listening: Pool | None = None,
        name: UUID | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._listening = listening or pool
        self._clock = clock
        self._lanes: list[asyncio.Queue[PendingMessage]] = [asyncio.Queue() for _ in range(LANES)]
        self._routes: dict[str, TopicRoute | None] = {}
        self._known: set[PrintingKey] = set()
        self._fleet = FleetPublisher(pool)
        self.dispatcher = ReviewDispatcher(pool, slots=lambda: self.leases.slots, clock=clock)
        self.strays = StrayTasks(
            pool, slots=lambda: self.leases.slots, on_forgotten=self.dispatcher.wake
        )
        self._receipts = ReceiptPublisher()
        self.leases = SlotLeases(
            pool, name or uuid4(), receipts=self._receipts, on_taken=self._taken_over
        )

        self.feed = FeedPublisher(
            pool,
            slots=lambda: self.leases.slots,
            lock=self.leases.lock,
            busy=lambda: any(not lane.empty() for lane in self._lanes),
            clock=clock,
        )

    def _taken_over(self) -> None:
        self.dispatcher.wake()
        self.strays.taken_over()

    def put(self, message: InboundMessage) -> None:
        """Queue a message. The broker connection limits how many wait."""
        route = self.route(message.topic)
        if route is not None and route.kind == "state":
            self.strays.heard(route.tenant, route.station, message.payload)
        if route is None:
            self.feed.put(message)
        lane = self._lanes[route.slot % LANES if route else 0]
        lane.put_nowait(PendingMessage(message=message, route=route))

    def route(self, topic: str) -> TopicRoute | None:
        """Return a topic's route; None when it is not a station's."""
        if topic not in self._routes:
            if len(self._routes) >= MAX_KNOWN:
                self._routes.clear()
            try:
                tenant, station, kind, _ = topics.parse(topic)
            except BadTopic:
                self._routes[topic] = None
            else:
                self._routes[topic] = TopicRoute(tenant, station, kind, slot_of(tenant, station))
        return self._routes[topic]

    async def run(self, broker: IngestBroker) -> None:
        """Work until cancelled, for the stations whose slots this worker holds."""
        try:
            await retry_until_done("partitions", self._make_months)
            await retry_until_done("lease", partial(self.leases.renew, broker))
            await self._run_tasks(broker)
        finally:
            await self.leases.give_up()

    async def _run_tasks(self, broker: IngestBroker) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.leases.keep(broker))
            for lane in self._lanes:
                group.create_task(self._ingest(lane, broker))
            group.create_task(self.dispatcher.publish_new(broker))
            group.create_task(self.dispatcher.publish_to_started(broker))
            group.create_task(self.strays.run(broker))
            group.create_task(self._listen())
            group.create_task(self._fleet.run(broker))
            group.create_task(self.feed.run(broker))
            group.create_task(self._make_months_hourly())

    async def _ingest(self, lane: asyncio.Queue[PendingMessage], broker: IngestBroker) -> None:
        while True:
            group = [await lane.get()]
            events, size = _read_and_weigh(group[0])
            next_yield = _EVENTS_BETWEEN_YIELDS
            while events < MAX_GROUP_EVENTS and size < MAX_GROUP_BYTES:
                if events > next_yield:
                    await asyncio.sleep(0)
                    next_yield = events + _EVENTS_BETWEEN_YIELDS
                if lane.empty():
                    break
                group.append(lane.get_nowait())
                more_events, more_bytes = _read_and_weigh(group[-1])
                events, size = events + more_events, size + more_bytes
            await self.commit_group(group, broker)
            broker.acknowledge([pending.message for pending in group])

    async def commit_group(self, group: Sequence[PendingMessage], broker: IngestBroker) -> None:
        """Commit the messages of our stations and send the receipts, a transaction a tenant.

        The other messages are another worker's, or are sent again once their station is ours.
        """
        tenants: dict[str, list[PendingMessage]] = {}
        for pending in group:
            if pending.route is not None:
                tenants.setdefault(pending.route.tenant, []).append(pending)
        for tenant, messages in tenants.items():
            await retry_until_done("ingest", partial(self._commit_tenant, tenant, messages, broker))

    async def _commit_tenant(
        self, tenant: str, messages: Sequence[PendingMessage], broker: IngestBroker
    ) -> None:
        now = self._clock()
        ours = [pending for pending in messages if pending.slot in self.leases.slots]
        if not ours:
            return
        async with tenant_transaction(self._pool, tenant) as connection:
            held = await self.leases.lock(connection, {pending.slot for pending in ours})
            contents = [
                await self._content(connection, pending, now, broker)
                for pending in ours
                if pending.slot in held
            ]
            batches = [content for content in contents if content]
            result = await self._commit(connection, batches, now)
        self._send_receipts(result, broker)

    async def _commit(
        self,
        connection: PostgresConnection,
        batches: Sequence[EventBatch | DeadLetter],
        now: datetime,
    ) -> CommitResult:
        """Commit batches; a month that the log lacks, because a clock jumped, is made."""
        if not batches:
            return CommitResult()
        try:
            return await commit(connection, batches, now, self._known)
        except MissingPartition:
            await log_months.make_ahead(connection, now)
            return await commit(connection, batches, now, self._known)

    async def _content(
        self,
        connection: PostgresConnection,
        pending: PendingMessage,
        now: datetime,
        broker: IngestBroker,
    ) -> EventBatch | DeadLetter | None:
        """Return a message's events; write a station report at once and return None."""
        if pending.route is not None and pending.route.kind != "events":
            if not pending.message.payload:
                return None
            return await self._write_report(connection, pending.message, pending.route, now, broker)
        return pending.batch

    def _send_receipts(self, result: CommitResult, broker: IngestBroker) -> None:
        for (tenant, station, _), receipt in result.receipts.items():
            self._receipts.publish(broker, tenant, station, receipt)
            if receipt.reason is not None:
                _log.warning(
                    "a stream is not taken; its station goes on in a new one",
                    tenant=tenant,
                    station=station,
                    stream=str(receipt.stream),
                    reason=receipt.reason,
                )
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._known.update(result.changes.printings)
        if result.changes.reviews:
            self.dispatcher.wake()
        if result.parked:
            _log.warning("parked", count=result.parked, see="the dashboard's dead letters")
        _log.debug(
            "committed", applied=result.applied, repeated=result.repeated, parked=result.parked
        )

    async def _write_report(
        self,
        connection: PostgresConnection,
        message: InboundMessage,
        route: TopicRoute,
        now: datetime,
        broker: IngestBroker,
    ) -> DeadLetter | None:
        """Write a station's state, settings or health; return a dead letter if unreadable."""
        tenant, station = route.tenant, route.station
        try:
            if route.kind == "state":
                state = decode(message.payload, StationState)
                changed = await stations.put_state(connection, tenant, station, state, now)
                if changed:
                    _log.info(
                        "station",
                        tenant=tenant,
                        station=station,
                        online=state.online,
                        epoch=state.epoch,
                    )
                if state.online:
                    receipt = await _receipt_at_birth(connection, tenant, station, state.stream)
                    self._receipts.publish(broker, tenant, station, receipt)
                    self.dispatcher.station_started(tenant, station)
                    self._fleet.connected(message.connection)
            elif route.kind == "config/reported":
                reported = decode(message.payload, ReportedConfig)
                changed = await stations.put_reported(connection, tenant, station, reported, now)
            else:
                health = decode(message.payload, StationHealth)
                changed = await stations.put_health(connection, tenant, station, health, now)
            if changed:
                await event_log.notify(connection, tenant, Subject.STATIONS)
        except ContractError as error:
            return unreadable_letter(tenant, station, message, error)
        return None

    async def _listen(self) -> None:
        """Wake dispatch, feed and fleet publishing when another process changes what they tell."""

        def on_notification(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            tenant, _, subject = str(payload).partition(" ")
            if subject in _TOLD:
                self.feed.changed(tenant)
            if subject == Subject.REVIEWS:
                self.dispatcher.wake()
            elif subject == Subject.FLEET:
                self._fleet.changed()

        async def listen_until_lost() -> None:
            async with self._listening.acquire() as connection:
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _connection: lost.set())
                await connection.add_listener(CHANNEL, on_notification)
                try:
                    await lost.wait()
                finally:
                    await connection.remove_listener(CHANNEL, on_notification)

        while True:
            await retry_until_done("listen", listen_until_lost)

    async def _make_months_hourly(self) -> None:
        while True:
            await asyncio.sleep(timedelta(hours=1).total_seconds())
            await retry_until_done("partitions", self._make_months)

    async def _make_months(self) -> None:
        async with self._pool.acquire() as connection:
            await log_months.make_ahead(connection, self._clock())


async def _receipt_at_birth(
    connection: PostgresConnection, tenant: str, station: str, stream: UUID
) -> Receipt:
    """Return what the log has of the stream of a station that has come online."""
    mark = await event_log.stream_mark(connection, tenant, stream)
    source = f"/stations/{station}"
    if mark is None:
        mark = StreamMark(source, 0, None)
    if mark.source != source:
        return refusal_receipt(stream, mark, BatchRefusal.ANOTHERS_STREAM)
    return receipt_of(stream, mark)


def _read_and_weigh(pending: PendingMessage) -> tuple[int, int]:
    """Read a message's events; return their count and the payload's size in bytes."""
    if pending.route and pending.route.kind == "events":
        pending.batch = read_message(pending.message)
    count = len(pending.batch.envelopes) if isinstance(pending.batch, EventBatch) else 1
    return count, len(pending.message.payload)
