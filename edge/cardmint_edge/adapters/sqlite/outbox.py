"""The outbox: the station's events in order of their sequence, until a receipt covers them.

One transaction for each card writes the event, the scan of the local history, the reference to the
image and the counters. `stream` is made with the database. `sequence` counts 1, 2, 3 … within it;
its counter is kept when the rows are deleted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Self
from uuid import UUID, uuid4

import structlog

from cardmint_contracts.cards import ScanDefaults
from cardmint_contracts.events import NAMES, CardScanned, EventData, ScanWithdrawn
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.domain.delivery.batches import StoredEvent, Timestamp
from cardmint_edge.domain.delivery.window import StreamState
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.errors import Stop

OUTBOX_FILE = "outbox.db"
"""Name of the outbox in the station's data folder."""

HISTORY = 1000
"""Scans that the local history keeps, at least."""

PRUNE_EVERY = 100
"""Scans that are deleted at once: a deletion writes as many pages as an insertion."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxCounters:
    """Counts since the outbox was made: scans, parked captures, starts of the agent (`epoch`)."""

    scanned: int
    parked: int
    epoch: int


class Outbox:
    """The only writer of the station's events and scans. Safe to call from several threads.

    Every method may raise `Stop`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._on_append: Callable[[], None] = _do_nothing

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the outbox as its only writer. A missing one is made."""
        return cls(Database.open(path))

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def call_on_append(self, on_append: Callable[[], None]) -> None:
        """Call `on_append` after each commit that appended an event."""
        self._on_append = on_append

    def count_start(self) -> int:
        """Count a start of the agent, and return its epoch."""
        with self.database.write() as tx:
            return _single_value(tx, "UPDATE station SET epoch = epoch + 1 RETURNING epoch")

    @property
    def stream_state(self) -> StreamState:
        """How far the stream got."""
        ((stream, acknowledged, last),) = self.database.read(
            "SELECT stream, acknowledged, last FROM station"
        )
        return StreamState(stream=UUID(stream), acknowledged=acknowledged, last=last)

    @property
    def counters(self) -> OutboxCounters:
        """The counts since the outbox was made."""
        ((scanned, parked, epoch),) = self.database.read(
            "SELECT scanned, parked, epoch FROM station"
        )
        return OutboxCounters(scanned=scanned, parked=parked, epoch=epoch)

    def append(self, data: EventData, stamp: Timestamp) -> int:
        """Store one event, and return its sequence."""
        with self.database.write() as tx:
            sequence = _append(tx, data, stamp)
        self._on_append()
        return sequence

    def record(
        self, scan: CardScanned, stamp: Timestamp, origin: str = "", fingerprint: bytes = b""
    ) -> ScanRecord:
        """Count one scan: write event, history, image reference and counters, or none of them.

        A scan that was recorded before is not counted again; its record is returned.
        """
        image = scan.image
        with self.database.write() as tx:
            known = tx.execute(_SCAN_COLUMNS + "WHERE scan = ?", (str(scan.scan),)).fetchone()
            if known is not None:
                return _record_of(known)
            sequence = _append(tx, scan, stamp)
            position = _single_value(
                tx, "UPDATE station SET scanned = scanned + 1 RETURNING scanned"
            )
            tx.execute(
                "INSERT INTO scans"
                " (position, scan, sequence, origin, time, data, fingerprint, type)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    position,
                    str(scan.scan),
                    sequence,
                    origin,
                    stamp.time.isoformat(),
                    encode(scan),
                    fingerprint,
                    NAMES[CardScanned],
                ),
            )
            if position % PRUNE_EVERY == 0:
                tx.execute("DELETE FROM scans WHERE position <= ?", (position - HISTORY,))
            if image is not None:
                tx.execute(
                    "INSERT INTO images (sha256, bytes, sequence) VALUES (?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET sequence = excluded.sequence, kept = 'full'",
                    (image.sha256, image.bytes, sequence),
                )
        self._on_append()
        return ScanRecord(
            position=position,
            sequence=sequence,
            time=stamp.time,
            scan=scan,
            fingerprint=fingerprint,
        )

    def withdraw(self, scan: UUID, by: str, stamp: Timestamp) -> bool:
        """Take a scan back, once.

        False: it is not in the history, or was taken back before.
        """
        with self.database.write() as tx:
            withdrawn = tx.execute(
                "UPDATE scans SET withdrawn = 1 WHERE scan = ? AND withdrawn = 0", (str(scan),)
            ).rowcount
            if withdrawn:
                _append(tx, ScanWithdrawn(scan=scan, by=by), stamp)
        if withdrawn:
            self._on_append()
        return bool(withdrawn)

    def park(self) -> None:
        """Count one capture that was set aside, so that a restarted camera begins after it."""
        with self.database.write() as tx:
            _single_value(tx, "UPDATE station SET parked = parked + 1 RETURNING parked")

    def events(self, first: int, count: int) -> list[StoredEvent]:
        """Return at most `count` events from sequence `first` on."""
        rows = self.database.read(
            "SELECT sequence, type, time, bootid, monotonic_ms, clock_synced, data FROM events "
            "WHERE sequence >= ? ORDER BY sequence LIMIT ?",
            first,
            count,
        )
        return [
            StoredEvent(
                sequence=sequence,
                type=kind,
                stamp=Timestamp(
                    time=datetime.fromisoformat(time),
                    bootid=UUID(bootid),
                    monotonic_ms=monotonic_ms,
                    clock_synced=bool(clock_synced),
                ),
                data=data,
            )
            for sequence, kind, time, bootid, monotonic_ms, clock_synced, data in rows
        ]

    def apply_receipt(self, stream: UUID, sequence: int) -> StreamState:
        """Remove the events that a receipt covers, and return the stream's new state.

        A receipt of another stream changes nothing. A receipt beyond the last event is of another
        copy of this database (a restored backup, a cloned disk): nothing is removed, and a new
        stream begins with the unsent events.
        """
        state = self.stream_state
        if stream != state.stream:
            log.warning(
                "receipt of another stream ignored", theirs=str(stream), ours=str(state.stream)
            )
            return state
        if sequence > state.last:
            return self._begin_new_stream(sequence)
        if sequence <= state.acknowledged:
            return state
        with self.database.write() as tx:
            removed = tx.execute("DELETE FROM events WHERE sequence <= ?", (sequence,)).rowcount
            _expect(removed, sequence - state.acknowledged, "events to remove")
            _single_value(
                tx, "UPDATE station SET acknowledged = ? RETURNING acknowledged", sequence
            )
        return self.stream_state

    def oldest_unsent(self) -> datetime | None:
        """Return the time of the oldest event without a receipt; None when there is none."""
        rows = self.database.read("SELECT time FROM events ORDER BY sequence LIMIT 1")
        return datetime.fromisoformat(rows[0][0]) if rows else None

    def recent_scans(self, count: int) -> list[ScanRecord]:
        """Return the last `count` scans, the newest first."""
        return [
            _record_of(row)
            for row in self.database.read(_SCAN_COLUMNS + "ORDER BY position DESC LIMIT ?", count)
        ]

    def possible_original(self, scan: UUID) -> ScanRecord | None:
        """Return the earlier scan of which `scan` is a possible duplicate.

        None: `scan` is no possible duplicate, or one of the two is no longer in the history.
        """
        duplicate = self._find(str(scan))
        return self._find(str(duplicate.scan.possible_duplicate_of)) if duplicate else None

    def _find(self, scan: str) -> ScanRecord | None:
        rows = self.database.read(_SCAN_COLUMNS + "WHERE scan = ?", scan)
        return _record_of(rows[0]) if rows else None

    @property
    def last_shot(self) -> tuple[str, str] | None:
        """The origin of the last recorded shot, and its image's SHA-256; None before the first."""
        rows = self.database.read(
            "SELECT origin, type, data FROM scans ORDER BY position DESC LIMIT 1"
        )
        if not rows:
            return None
        image = _scan(rows[0][1], rows[0][2]).image
        return rows[0][0], image.sha256 if image else ""

    @property
    def defaults(self) -> ScanDefaults:
        """The operator's scan defaults."""
        return decode(self.database.read("SELECT defaults FROM station")[0][0], ScanDefaults)

    def set_defaults(self, defaults: ScanDefaults) -> None:
        """Use `defaults` for every later scan."""
        with self.database.write() as tx:
            _single_value(tx, "UPDATE station SET defaults = ? RETURNING 1", encode(defaults))

    def _begin_new_stream(self, receipted: int) -> StreamState:
        stream = uuid4()
        with self.database.write() as tx:
            state = self.stream_state
            count = state.last - state.acknowledged
            # Through negative numbers, so that no row takes a sequence that another still has.
            for step in (
                "UPDATE events SET sequence = -sequence",
                "UPDATE events SET sequence = -sequence - ?",
            ):
                parameters = (state.acknowledged,) if "?" in step else ()
                _expect(tx.execute(step, parameters).rowcount, count, "events to renumber")
            tx.execute("UPDATE images SET sequence = max(0, sequence - ?)", (state.acknowledged,))
            _single_value(
                tx,
                "UPDATE station SET stream = ?, acknowledged = 0, last = ? RETURNING last",
                str(stream),
                count,
            )
        log.error(
            "a receipt covers more events than this outbox ever had: it was restored from a backup"
            " or copied; a new stream begins, and nothing is removed",
            receipted=receipted,
            last=state.last,
            old_stream=str(state.stream),
            new_stream=str(stream),
            unsent=count,
        )
        return StreamState(stream=stream, acknowledged=0, last=count)


_SCAN_COLUMNS = "SELECT position, sequence, time, type, data, fingerprint, withdrawn FROM scans "


def _record_of(row: tuple[int, int, str, str, bytes, bytes, int]) -> ScanRecord:
    position, sequence, time, type_name, data, fingerprint, withdrawn = row
    return ScanRecord(
        position=position,
        sequence=sequence,
        time=datetime.fromisoformat(time),
        scan=_scan(type_name, data),
        fingerprint=fingerprint,
        withdrawn=bool(withdrawn),
    )


def _scan(type_name: str, data: bytes) -> CardScanned:
    """Decode a scan of the history. An earlier version of the agent may have written it."""
    event = decode_data(type_name, data)
    if not isinstance(event, CardScanned):
        raise Stop(f"the outbox is damaged: a {type_name} is among the scans; keep a copy of it")
    return event


def _append(tx: Connection, data: EventData, stamp: Timestamp) -> int:
    sequence = _single_value(tx, "UPDATE station SET last = last + 1 RETURNING last")
    tx.execute(
        "INSERT INTO events (sequence, type, time, bootid, monotonic_ms, clock_synced, data) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            sequence,
            NAMES[type(data)],
            stamp.time.isoformat(),
            str(stamp.bootid),
            stamp.monotonic_ms,
            int(stamp.clock_synced),
            encode(data),
        ),
    )
    return sequence


def _single_value(tx: Connection, sql: str, *parameters: object) -> int:
    rows = tx.execute(sql, parameters).fetchall()
    _expect(len(rows), 1, "row of the station")
    value: int = rows[0][0]
    return value


def _expect(actual: int, expected: int, what: str) -> None:
    if actual != expected:
        raise Stop(
            f"the outbox is damaged: {actual} instead of {expected} {what}; keep a copy of it"
        )


def _do_nothing() -> None:
    pass
