"""Stray tasks: questions that the broker keeps retained and that this database does not have open.

They are left from another database, or from a broker restored from a backup, and a station would
ask its operator about cards that nobody knows. When a worker takes stations over, or connects to
the broker, it lists the retained tasks. Of those of its own stations

- an open one stays;
- a closed one is published again by the dispatcher, as closed;
- one that the database does not know is cleared, but only after `GRACE_S`, and only at a station
  whose events are in this database and which says that it belongs to no other: a second cloud on
  the same broker leaves the questions of the first one alone. Afterwards the database is asked
  again, and a question that was opened meanwhile is published again.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog

from cardmint_cloud.adapters.postgres.across import by_tenant
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.adapters.postgres.ingest.identity import read_identity
from cardmint_cloud.adapters.postgres.retry import retry_until_done
from cardmint_cloud.adapters.postgres.reviews import publishing
from cardmint_cloud.domain.rendezvous import slot_of
from cardmint_cloud.fleet import StationPublisher
from cardmint_contracts import topics
from cardmint_contracts.errors import BadTopic, ContractError
from cardmint_contracts.stations import StationState
from cardmint_contracts.wire import decode

GRACE_S = 10.0
SWEEP_S = 5.0
"""Seconds that a task must have been unknown, and seconds between checks."""

MAX_STATES = 100_000
MAX_STATE_BYTES = 4 << 10
"""Stations whose state is remembered at most, and bytes of each."""

_log = structlog.get_logger()
TaskKey = tuple[str, str, UUID]
"""Tenant, station and task."""


class TaskBroker(StationPublisher, Protocol):
    """The part of a broker connection that finds stray tasks."""

    @property
    def connection(self) -> int:
        """Number of the current connection; 0 while there is none."""
        ...

    async def retained_tasks(self) -> set[str]:
        """Return the topics of the tasks that the broker keeps retained."""
        ...


class StrayTasks:
    """Clears the stray tasks of the stations in `slots()`; `on_forgotten` wakes the dispatcher."""

    def __init__(
        self,
        pool: Pool,
        *,
        slots: Callable[[], Collection[int]],
        on_forgotten: Callable[[], None],
        grace_s: float = GRACE_S,
    ) -> None:
        self._pool = pool
        self._slots = slots
        self._on_forgotten = on_forgotten
        self._grace_s = grace_s
        self._listed = 0
        self._woken = asyncio.Event()
        self._unknown: dict[TaskKey, float] = {}
        self._states: dict[tuple[str, str], bytes] = {}

    def heard(self, tenant: str, station: str, state: bytes) -> None:
        """Remember a station's last `StationState`, which names the database it belongs to."""
        if len(self._states) < MAX_STATES and len(state) <= MAX_STATE_BYTES:
            self._states[tenant, station] = state

    def taken_over(self) -> None:
        """List the retained tasks soon: stations became ours."""
        self._listed = 0
        self._woken.set()

    async def run(self, broker: TaskBroker) -> None:
        """Clear stray tasks until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(SWEEP_S, self._grace_s)):
                    await self._woken.wait()
            self._woken.clear()
            if broker.connection not in {0, self._listed}:
                self._listed = broker.connection
                now = asyncio.get_running_loop().time()
                found = {
                    key: now for topic in await broker.retained_tasks() if (key := _key(topic))
                }
                self._unknown = {**found, **self._unknown}
            if self._unknown:
                await retry_until_done("stray tasks", partial(self.settle, broker))

    async def settle(self, broker: TaskBroker) -> None:
        """Keep, forget or clear each listed task; those that are still in doubt stay listed."""
        slots = self._slots()
        ours = {key: at for key, at in self._unknown.items() if slot_of(*key[:2]) in slots}
        known: dict[tuple[str, UUID], bool] = {}
        at_home: set[tuple[str, str]] = set()
        identity = await read_identity(self._pool)
        for tenant, keys in by_tenant(ours).items():
            async with tenant_transaction(self._pool, tenant) as connection:
                tasks = await publishing.tasks_open(connection, tenant, {key[2] for key in keys})
                stations = await publishing.stations_with_events(
                    connection, tenant, {key[1] for key in keys}
                )
            known |= {(tenant, task): is_open for task, is_open in tasks.items()}
            at_home |= {(tenant, station) for station in stations}
        closed = {_id(key) for key in ours if known.get(_id(key)) is False}
        unknown = {key: at for key, at in ours.items() if _id(key) not in known}
        ripe = asyncio.get_running_loop().time() - self._grace_s
        strays = [
            key
            for key, at in unknown.items()
            if at <= ripe
            and key[:2] in at_home
            and self._database_of(key[:2]) in {None, identity.id, *identity.replaces}
        ]
        cleared = await _clear(broker, strays)
        # What was cleared is still unknown, unless its question was opened in the meantime.
        again = closed | {_id(key) for key in cleared}
        for tenant, ids in by_tenant(again).items():
            async with tenant_transaction(self._pool, tenant) as connection:
                found = await publishing.forget_published(connection, tenant, [i[1] for i in ids])
            if found:
                self._on_forgotten()
        self._unknown = {key: at for key, at in unknown.items() if key not in cleared}

    def _database_of(self, station: tuple[str, str]) -> UUID | None:
        """Return the database that a station belongs to; None where it does not say."""
        try:
            return decode(self._states.get(station, b""), StationState).database
        except ContractError:
            return None


async def _clear(broker: TaskBroker, strays: Collection[TaskKey]) -> set[TaskKey]:
    """Remove tasks from the broker; return those that it has removed."""
    sent = {key: broker.publish(topics.task_topic(*key), b"") for key in strays}
    await asyncio.gather(*sent.values(), return_exceptions=True)
    cleared = {key for key, done in sent.items() if done.done() and not done.cancelled()}
    for tenant, station in {key[:2] for key in cleared}:
        count = sum(key[:2] == (tenant, station) for key in cleared)
        _log.warning(
            "questions that this database does not know are removed from the broker",
            tenant=tenant,
            station=station,
            count=count,
        )
    return cleared


def _key(topic: str) -> TaskKey | None:
    try:
        tenant, station, kind, task = topics.parse(topic)
    except BadTopic:
        return None
    return (tenant, station, task) if kind == "tasks" and task is not None else None


def _id(key: TaskKey) -> tuple[str, UUID]:
    return key[0], key[2]
