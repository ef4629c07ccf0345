"""Live updates: one LISTEN connection for the process, a bounded backlog for each client.

A notification only says that something changed. New items are read from the table, and each client
gets each item once. Other changes are merged.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.connection import Pool, limited_to
from cardmint_cloud.adapters.postgres.queries import cards
from cardmint_cloud.adapters.postgres.retry import DATABASE_AWAY
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.web.connections import BoundedConnection
from cardmint_contracts.notifications import CHANNEL, Subject
from cardmint_contracts.notifications import payload as notification_payload

TICK_S = 0.05
INVENTORY_S = 0.2
SWEEP_S = 2.0
BEAT_S = 15.0
MAX_BACKLOG = 10_000
CLIENTS_SHARE = 0.75
"""Share of the process's connections that clients may keep; the others are for short requests."""

NARROW, WIDE, REMEMBERED = timedelta(seconds=2), timedelta(seconds=30), timedelta(seconds=60)

EVENTS: dict[str, tuple[str, ...]] = {
    Subject.ITEMS: ("inventory",),
    Subject.PRICES: ("inventory",),
    Subject.REVIEWS: ("reviews", "inventory"),
    Subject.IMAGES: ("images",),
    Subject.STATIONS: ("stations",),
    Subject.HEALTH: ("stations",),
    Subject.DEAD_LETTERS: ("dead-letters",),
}
"""Kinds of events that clients get for each subject of a notification."""

_log = structlog.get_logger(__name__)
_AWAY = (*DATABASE_AWAY, SQLAlchemyError)

LiveMessage = tuple[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveItem:
    """A new item as clients are told of it, and where it is from."""

    told: dict[str, Any]
    station: str
    lot: str


class LiveClient:
    """One client's backlog: other events merged, new items in full.

    It is closed when it falls too far behind. Items beyond its reach are not told.
    """

    def __init__(self, tenant: str, reach: Reach | None = None) -> None:
        self.tenant, self._reach = tenant, reach or Reach()
        self.closed = False
        self._kinds: dict[str, None] = {}
        self._items: list[dict[str, Any]] = []
        self._woken = asyncio.Event()
        self._inventory_from = 0.0

    def tell(self, kinds: Sequence[str], items: Sequence[LiveItem]) -> None:
        """Add to the backlog; never waits."""
        self._kinds |= dict.fromkeys(kinds)
        self._items += [one.told for one in items if self._reach.includes(one.station, one.lot)]
        self.closed = self.closed or len(self._items) > MAX_BACKLOG
        self._woken.set()

    async def messages(self, beat_s: float = BEAT_S) -> AsyncIterator[LiveMessage]:
        """Yield messages: at most 20 times a second, and `inventory` five times a second."""
        yield "ready", {"tenant": self.tenant}
        while not self.closed:
            now = asyncio.get_running_loop().time()
            wait = self._inventory_from - now if "inventory" in self._kinds else beat_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wait)):
                    await self._woken.wait()
            self._woken.clear()
            sent = self._take(asyncio.get_running_loop().time())
            for message in sent:
                yield message
            if not sent and wait == beat_s:
                yield "beat", {}
            await asyncio.sleep(TICK_S)

    def _take(self, now: float) -> list[LiveMessage]:
        taken: list[LiveMessage] = []
        if self._items:
            items, self._items = self._items, []
            newest = items[-1]
            taken.append(
                (
                    "items",
                    {
                        "items": [
                            {"item": i["item"], "captured_at": i["captured_at"]} for i in items
                        ]
                    },
                )
            )
            taken.append(("scan", {"count": len(items), **newest}))
        kinds, self._kinds = self._kinds, {}
        for kind in kinds:
            if kind == "inventory":
                if now < self._inventory_from:
                    self._kinds[kind] = None
                    continue
                self._inventory_from = now + INVENTORY_S
            taken.append((kind, {}))
        return taken


class NewItems:
    """The items that clients have been sent.

    Transactions do not commit in the order of their clocks, so late ones are looked for too.
    """

    def __init__(self, rows: Sequence[Any], mark: datetime) -> None:
        self.mark = mark
        self._told: dict[UUID, datetime] = {}
        self.fresh(rows)

    def fresh(self, rows: Sequence[Any]) -> list[Any]:
        """Return the rows that were not sent yet, and remember them."""
        found = [row for row in rows if row["item"] not in self._told]
        for row in found:
            self._told[row["item"]] = row["received_at"]
            self.mark = max(self.mark, row["received_at"])
        for item in (
            [item for item, at in self._told.items() if at < self.mark - REMEMBERED]
            if found
            else []
        ):
            del self._told[item]
        return found


class LiveHub:
    """The one listener of the process. `running` lasts as long as the process serves."""

    def __init__(
        self,
        connect: Callable[[str], AbstractAsyncContextManager[AsyncConnection]],
        pool: Pool,
        clock: Callable[[], datetime],
    ) -> None:
        """Take `connect`, which reads as a tenant, and the `pool` to listen with."""
        self.clients: set[LiveClient] = set()
        self.listening = False
        self._connect = connect
        self._pool = pool
        self._clock = clock
        self._changed: dict[str, set[str]] = {}
        self._woken = asyncio.Event()
        self._newest: dict[str, NewItems] = {}
        self._sweep_at: dict[str, float] = {}

    @contextlib.contextmanager
    def client(self, tenant: str, reach: Reach | None = None) -> Iterator[LiveClient]:
        """Add a client for as long as the context lasts. `full` says when there is no room."""
        client = LiveClient(tenant, reach)
        self.clients.add(client)
        try:
            yield client
        finally:
            self.clients.discard(client)
            if not any(other.tenant == tenant for other in self.clients):
                self._newest.pop(tenant, None)
                self._sweep_at.pop(tenant, None)

    @property
    def full(self) -> bool:
        """Whether there are as many clients as may be."""
        return len(self.clients) >= BoundedConnection.most * CLIENTS_SHARE

    async def begin(self, tenant: str) -> None:
        """Remember the items that exist already, so that only later ones count as new."""
        if tenant not in self._newest:
            now = self._clock()
            # Of the whole tenant, whoever comes first: all its clients share them.
            with limited_to(None):
                async with self._connect(tenant) as connection:
                    rows = await cards.received_since(connection, tenant, now - WIDE)
            self._newest.setdefault(tenant, NewItems(rows, now - WIDE))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen and send updates until the context ends."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._pump())]
        try:
            yield
        finally:
            for client in self.clients:
                client.closed = True
                client.tell((), ())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def heard(self, payload: str) -> None:
        """Record a notification, `TENANT SUBJECT`."""
        tenant, _, what = payload.partition(" ")
        self._changed.setdefault(tenant, set()).add(what)
        self._woken.set()

    async def _listen(self) -> None:
        pause = 0.1
        while True:
            try:
                await self._listen_once()
                pause = 0.1
            except _AWAY as error:
                _log.warning(
                    "not listening", error=str(error) or type(error).__name__, again_in_s=pause
                )
            self.listening = False
            await asyncio.sleep(pause)
            pause = min(5.0, pause * 2)

    async def _listen_once(self) -> None:
        async with self._pool.acquire() as connection:
            ended = asyncio.Event()

            def on_notification(
                _connection: object, _pid: int, _channel: str, payload: object
            ) -> None:
                self.heard(str(payload))

            def on_end(_connection: object) -> None:
                ended.set()

            connection.add_termination_listener(on_end)
            await connection.add_listener(CHANNEL, on_notification)
            self.listening = True
            for tenant in {client.tenant for client in self.clients}:
                for what in EVENTS:
                    self.heard(notification_payload(tenant, what))
            try:
                while not ended.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(BEAT_S):
                            await ended.wait()
                    if not ended.is_set():
                        await connection.execute("SELECT 1", timeout=5)
            finally:
                if not connection.is_closed():
                    connection.remove_termination_listener(on_end)
                    await connection.remove_listener(CHANNEL, on_notification)

    async def _pump(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S if self._sweep_at else None):
                    await self._woken.wait()
            self._woken.clear()
            changed, self._changed = self._changed, {}
            now = asyncio.get_running_loop().time()
            for tenant, at in self._sweep_at.items():
                if at <= now:
                    changed.setdefault(tenant, set()).add("sweep")
            for tenant, what in changed.items():
                await self._tell(tenant, what, now)
            await asyncio.sleep(TICK_S)

    async def _tell(self, tenant: str, what: set[str], now: float) -> None:
        clients = [client for client in self.clients if client.tenant == tenant]
        if not clients:
            self._sweep_at.pop(tenant, None)
            return
        items: list[LiveItem] = []
        if "sweep" in what:
            self._sweep_at.pop(tenant, None)
        if "items" in what:
            self._sweep_at.setdefault(tenant, now + SWEEP_S)
        if "items" in what or "sweep" in what:
            try:
                items = await self._new_items(tenant, wide="sweep" in what)
            except _AWAY as error:
                _log.warning(
                    "new items not read",
                    error=str(error) or type(error).__name__,
                    again_in_s=SWEEP_S,
                )
                self._sweep_at[tenant] = now + SWEEP_S
        kinds = [kind for name in sorted(what) for kind in EVENTS.get(name, ())] + (
            ["inventory"] if items else []
        )
        for client in clients:
            if kinds or items:
                client.tell(kinds, items)

    async def _new_items(self, tenant: str, *, wide: bool) -> list[LiveItem]:
        await self.begin(tenant)
        newest = self._newest[tenant]
        async with self._connect(tenant) as connection:
            rows = await cards.received_since(
                connection, tenant, newest.mark - (WIDE if wide else NARROW)
            )
        return [
            LiveItem(
                told={
                    "item": str(row["item"]),
                    "captured_at": row["captured_at"].isoformat(),
                    "name": row["name"],
                    "status": row["status"],
                },
                station=row["station"],
                lot=row["lot"],
            )
            for row in newest.fresh(rows)
        ]
