"""The worker: takes what stations publish, commits it, sends receipts, tells stations of their tasks."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID, uuid4

import asyncpg
import structlog
from msgspec import Struct

from cardmint_cloud import log_months
from cardmint_cloud.adapters.mqtt.connection import Inbound
from cardmint_cloud.adapters.postgres.fleet import stations
from cardmint_cloud.adapters.postgres.ingest import event_log, leases
from cardmint_cloud.adapters.postgres.ingest.inventory import PrintingKey
from cardmint_cloud.adapters.postgres.retry import AWAY, persist
from cardmint_cloud.domain.items import Review
from cardmint_cloud.domain.rendezvous import share, slot
from cardmint_cloud.fleet import Fleet
from cardmint_cloud.ingest.commit import Batch, Committed, commit, read, unreadable
from cardmint_contracts import topics
from cardmint_contracts.control import ReportedConfig
from cardmint_contracts.errors import BadTopic, ContractError
from cardmint_contracts.notifications import CHANNEL, Subject
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.wire import decode, encode

LANES = 3
"""Transactions at once, each for stations of its own.

One's work in Python is done while Postgres does the other's.
"""

MAX_GROUP_EVENTS = 2000
MAX_GROUP_BYTES = 4 << 20
"""What goes into one transaction at most, but for the last message."""

MAX_KNOWN = 200_000
_A_BREATH = 100
"""How many events are read before others may run."""

SWEEP_S = 5.0
BEAT_S = 0.4
"""How often a worker says that it lives.

`leases.DEAD_AFTER_S` is how long the others wait for that.
"""

_log = structlog.get_logger()


class Address(NamedTuple):
    """What a topic says: whose it is, of what kind, and which slot of stations it falls to."""

    tenant: str
    station: str
    kind: topics.Kind
    slot: int


class Taken(Struct, kw_only=True, gc=False):
    """A message that waits for its transaction, and the batch that was read from it."""

    message: Inbound
    address: Address | None
    batch: Batch | event_log.DeadLetter | None = None

    @property
    def slot(self) -> int:
        """The slot of its station; none has -1."""
        return self.address.slot if self.address else -1


class Link(Protocol):
    """What the worker needs of a broker."""

    def acknowledge(self, messages: Sequence[Inbound]) -> None:
        """Tell the broker that messages are dealt with."""
        ...

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> asyncio.Future[None]:
        """Publish; the future is cancelled when the connection goes before the broker has it."""
        ...

    def refresh(self) -> None:
        """Ask for what stations last said of themselves, once more."""
        ...


class Worker:
    """Ingest and dispatch over one broker and one database.

    `put` takes messages; `run` works until cancelled.

    `name` is in the name of the pool's sessions (`leases.session_name`).
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        name: UUID | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._lanes: list[asyncio.Queue[Taken]] = [asyncio.Queue() for _ in range(LANES)]
        self._addresses: dict[str, Address | None] = {}
        self._known: set[PrintingKey] = set()
        self._reviews_changed = asyncio.Event()
        self._births: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._fleet = Fleet(pool)
        self._id = name or uuid4()
        self._slots: set[int] = set()

    def put(self, message: Inbound) -> None:
        """Take a message. What waits is bounded by the broker's connection."""
        address = self._address(message.topic)
        self._lanes[address.slot % LANES if address else 0].put_nowait(
            Taken(message=message, address=address)
        )

    def _address(self, topic: str) -> Address | None:
        """Return what a topic says; None when it is no station's."""
        if topic not in self._addresses:
            if len(self._addresses) >= MAX_KNOWN:
                self._addresses.clear()
            try:
                tenant, station, kind, _ = topics.parse(topic)
            except BadTopic:
                self._addresses[topic] = None
            else:
                self._addresses[topic] = Address(tenant, station, kind, slot(tenant, station))
        return self._addresses[topic]

    async def run(self, link: Link) -> None:
        """Work until cancelled, for the stations that fall to this worker."""
        try:
            # First of all: an event of a month without a partition would be refused by the
            # database, and parked.
            await persist("partitions", self._make_ahead)
            await persist("lease", partial(self._beat, link))
            await self._work(link)
        finally:
            with contextlib.suppress(*AWAY):
                async with asyncio.timeout(1), self._pool.acquire() as connection:
                    await leases.leave(connection, self._id)

    async def _work(self, link: Link) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hold(link))
            for lane in self._lanes:
                group.create_task(self._ingest(lane, link))
            group.create_task(self._dispatch(link))
            group.create_task(self._greet(link))
            group.create_task(self._listen())
            group.create_task(self._fleet.run(link))
            group.create_task(self._make_partitions())

    async def _ingest(self, lane: asyncio.Queue[Taken], link: Link) -> None:
        while True:
            group = [await lane.get()]
            events, size = _weigh(group[0])
            breath = _A_BREATH
            while events < MAX_GROUP_EVENTS and size < MAX_GROUP_BYTES:
                if events > breath:
                    await asyncio.sleep(0)
                    breath = events + _A_BREATH
                if lane.empty():
                    break
                group.append(lane.get_nowait())
                more, bytes_ = _weigh(group[-1])
                events, size = events + more, size + bytes_
            await persist("ingest", partial(self._take, group, link))
            link.acknowledge([taken.message for taken in group])

    async def _take(self, group: Sequence[Taken], link: Link) -> None:
        """Commit what is of our stations.

        The rest is another worker's, or will be sent again when it is ours.
        """
        now = self._clock()
        ours = [taken for taken in group if taken.address and taken.address.slot in self._slots]
        if not ours:
            return
        async with self._pool.acquire() as connection:
            async with connection.transaction():
                held = await leases.held(connection, self._id, {taken.slot for taken in ours})
                read_ = [
                    await self._read(connection, taken, now) for taken in ours if taken.slot in held
                ]
                batches = [batch for batch in read_ if batch]
                done = (
                    await commit(connection, batches, now, self._known) if batches else Committed()
                )
            self._answer(done, link)

    async def _read(
        self, connection: event_log.Connection, taken: Taken, now: datetime
    ) -> Batch | event_log.DeadLetter | None:
        if taken.address is not None and taken.address.kind != "events":
            return (
                await self._note(connection, taken.message, taken.address, now)
                if taken.message.payload
                else None
            )
        return taken.batch

    async def _hold(self, link: Link) -> None:
        """Keep our share of the stations, take over from workers that went silent, give to new ones."""
        while True:
            await asyncio.sleep(BEAT_S)
            await persist("lease", partial(self._beat, link))

    async def _beat(self, link: Link) -> None:
        async with self._pool.acquire() as connection:
            living = await leases.beat(connection, self._id)
            slots, taken = await leases.settle(
                connection, self._id, share(self._id, living | {self._id})
            )
            if taken:
                # What the stations sent meanwhile was nobody's: tell them at once from where to
                # send again.
                for (tenant, stream), (station, mark) in (
                    await leases.marks(connection, taken)
                ).items():
                    receipt = Receipt(stream=stream, sequence=mark, refused=mark + 1)
                    link.publish(topics.station_topic(tenant, station, "receipt"), encode(receipt))
                _log.info(
                    "took stations over", slots=len(taken), held=len(slots), workers=len(living)
                )
        self._slots = slots
        if taken:
            link.refresh()
            self._reviews_changed.set()

    def _answer(self, done: Committed, link: Link) -> None:
        for (tenant, station, _), receipt in done.receipts.items():
            link.publish(topics.station_topic(tenant, station, "receipt"), encode(receipt))
        if len(self._known) > MAX_KNOWN:
            self._known.clear()
        self._known.update(done.changes.printings)
        if done.changes.reviews:
            self._reviews_changed.set()
        if done.parked:
            _log.warning("parked", count=done.parked, see="the dashboard's dead letters")
        _log.debug("committed", applied=done.applied, repeated=done.repeated, parked=done.parked)

    async def _note(
        self, connection: event_log.Connection, message: Inbound, address: Address, now: datetime
    ) -> event_log.DeadLetter | None:
        """Keep a birth, a death or a station's health; a dead letter when it cannot be read."""
        tenant, station = address.tenant, address.station
        try:
            if address.kind == "state":
                state = decode(message.payload, StationState)
                if await stations.put_state(connection, tenant, station, state, now):
                    _log.info(
                        "station",
                        tenant=tenant,
                        station=station,
                        online=state.online,
                        epoch=state.epoch,
                    )
                    await event_log.notify(connection, tenant, Subject.STATIONS)
                if state.online:
                    self._births.put_nowait((tenant, station))
                    self._fleet.connected(message.connection)
            elif address.kind == "config/reported":
                reported = decode(message.payload, ReportedConfig)
                if await stations.put_reported(connection, tenant, station, reported, now):
                    await event_log.notify(connection, tenant, Subject.STATIONS)
            elif await stations.put_health(
                connection, tenant, station, decode(message.payload, StationHealth), now
            ):
                await event_log.notify(connection, tenant, Subject.STATIONS)
        except ContractError as error:
            return unreadable(tenant, station, message, error)
        return None

    async def _dispatch(self, link: Link) -> None:
        """Publish each new version of a review, and remember that the broker has it."""
        while True:
            # Not asyncio.wait_for: before Python 3.12 it could swallow a cancellation, and the
            # worker never ended.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._reviews_changed.wait()
            self._reviews_changed.clear()
            await persist("dispatch", partial(self._tell_untold, link))

    async def _tell_untold(self, link: Link) -> None:
        async with self._pool.acquire() as connection:
            while reviews := await stations.untold(connection, self._slots, 200):
                told = await _tell(link, reviews)
                await stations.mark_told(connection, told)
                if len(told) < len(reviews):
                    return

    async def _greet(self, link: Link) -> None:
        """Tell a station that has just come up of its tasks again.

        A broker may have lost what lay retained.
        """
        while True:
            tenant, station = await self._births.get()
            await persist("greet", partial(self._tell_all, link, tenant, station))

    async def _tell_all(self, link: Link, tenant: str, station: str) -> None:
        async with self._pool.acquire() as connection:
            reviews = await stations.tasks_of(connection, tenant, station, self._clock())
            await stations.mark_told(connection, await _tell(link, reviews))

    async def _listen(self) -> None:
        """Wake the dispatch when another process changes a review."""

        def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            if str(payload).endswith(f" {Subject.REVIEWS}"):
                self._reviews_changed.set()
            elif str(payload).endswith(f" {Subject.FLEET}"):
                self._fleet.changed()

        async def listen() -> None:
            async with self._pool.acquire() as connection:
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _connection: lost.set())
                await connection.add_listener(CHANNEL, heard)
                try:
                    await lost.wait()
                finally:
                    await connection.remove_listener(CHANNEL, heard)

        while True:
            await persist("listen", listen)

    async def _make_partitions(self) -> None:
        while True:
            await asyncio.sleep(timedelta(hours=1).total_seconds())
            await persist("partitions", self._make_ahead)

    async def _make_ahead(self) -> None:
        async with self._pool.acquire() as connection:
            await log_months.make_ahead(connection, self._clock())


def _weigh(taken: Taken) -> tuple[int, int]:
    """Read a message; return how many events are in it and how many bytes it has."""
    if taken.address and taken.address.kind == "events":
        taken.batch = read(taken.message)
    count = len(taken.batch.envelopes) if isinstance(taken.batch, Batch) else 1
    return count, len(taken.message.payload)


async def _tell(link: Link, reviews: Sequence[Review]) -> list[tuple[str, UUID, int]]:
    """Publish the reviews' tasks, an empty payload for a closed one, and return those that the broker has taken.

    How a task ended goes before the empty payload, so that the station still knows what was
    answered there.
    """
    for review in reviews:
        if (outcome := _outcome(review)) is not None:
            topic = topics.outcome_topic(review.tenant, review.station, review.task)
            link.publish(topic, encode(outcome), retain=False)
    sent = [
        (r, link.publish(topics.task_topic(r.tenant, r.station, r.task), _task(r))) for r in reviews
    ]
    await asyncio.gather(*(done for _, done in sent), return_exceptions=True)
    return [
        (r.tenant, r.task, r.version) for r, done in sent if done.done() and not done.cancelled()
    ]


def _outcome(review: Review) -> ReviewOutcome | None:
    if review.open or review.verdict is None or review.closed_at is None:
        return None
    return ReviewOutcome(
        task=review.task,
        version=review.version,
        scan=review.item,
        verdict=review.verdict,
        by=review.answered_by,
        at=review.closed_at,
        card=review.card,
    )


def _task(review: Review) -> bytes:
    if not review.open:
        return b""
    return encode(
        ReviewTask(
            task=review.task,
            version=review.version,
            scan=review.item,
            opened=review.opened_at,
            reasons=review.reasons,
            candidates=review.candidates,
            image=review.image,
            place=review.place,
            escalated=review.escalated,
        )
    )
