"""One worker's slots of stations: renewed by a heartbeat, taken from workers that went silent."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog
from msgspec.structs import replace

from cardmint_cloud.adapters.postgres import across
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection
from cardmint_cloud.adapters.postgres.ingest import leases
from cardmint_cloud.adapters.postgres.retry import DATABASE_AWAY, retry_until_done
from cardmint_cloud.domain.rendezvous import share_of, slot_of
from cardmint_cloud.fleet import StationPublisher
from cardmint_cloud.ingest.commit import receipt_of
from cardmint_cloud.ingest.receipts import ReceiptPublisher

HEARTBEAT_S = 0.4
"""Seconds between heartbeats. Others wait `leases.DEAD_AFTER_S` before they take our slots."""

_log = structlog.get_logger()


class LeaseBroker(StationPublisher, Protocol):
    """The part of a broker connection that leases need."""

    def refresh(self) -> None:
        """Ask for the stations' retained states again."""
        ...


class SlotLeases:
    """The slots that one worker holds. `on_taken` is called after slots of others became ours."""

    def __init__(
        self,
        pool: Pool,
        worker: UUID,
        *,
        receipts: ReceiptPublisher,
        on_taken: Callable[[], None],
    ) -> None:
        self.slots: set[int] = set()
        self._receipts = receipts
        self._pool = pool
        self._worker = worker
        self._on_taken = on_taken

    async def keep(self, broker: LeaseBroker) -> None:
        """Send heartbeats, and keep our share of the slots, until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await retry_until_done("lease", partial(self.renew, broker))

    async def renew(self, broker: LeaseBroker) -> None:
        """Send one heartbeat and settle which slots are ours.

        While a slot had no worker, nobody committed what its stations sent. Receipts at once tell
        them from which sequence to send again.
        """
        async with self._pool.acquire() as connection:
            await self._receipts.load(connection)
            living = await leases.record_heartbeat(connection, self._worker)
            share = share_of(self._worker, living | {self._worker})
            slots, taken = await leases.settle_leases(connection, self._worker, share)
            if taken:
                marks = await across.recent_watermarks(connection)
                for (tenant, stream), mark in marks.items():
                    station = leases.station_of(mark.source)
                    if slot_of(tenant, station) in taken:
                        receipt = replace(receipt_of(stream, mark), refused=mark.sequence + 1)
                        self._receipts.publish(broker, tenant, station, receipt)
                _log.info(
                    "took stations over", slots=len(taken), held=len(slots), workers=len(living)
                )
        self.slots = slots
        if taken:
            broker.refresh()
            self._on_taken()

    async def lock(self, connection: PostgresConnection, slots: Collection[int]) -> set[int]:
        """Return which of `slots` are ours, and lock those until the transaction ends."""
        return await leases.lock_held_slots(connection, self._worker, slots)

    async def give_up(self) -> None:
        """Let others take our slots at once; a database that is away is not waited for."""
        with contextlib.suppress(*DATABASE_AWAY):
            async with asyncio.timeout(1), self._pool.acquire() as connection:
                await leases.remove_worker(connection, self._worker)
