"""The outbox: the station's events in order of their sequence, until a receipt covers them.

One transaction for each card writes the event, the scan of the local history, the reference to the
image and the counters. A stream is made with the database; when it cannot go on, the unsent events
move into a new one. `sequence` counts 1, 2, 3 … within it; its counter is kept when the rows are
deleted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self
from uuid import UUID

import structlog

from cardmint_contracts.cards import ScanDefaults
from cardmint_contracts.events import (
    NAMES,
    CardScanned,
    EventData,
    ScanWithdrawn,
    StreamReason,
)
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.sqlite.event_rows import (
    SELECT_EVENTS,
    append_event,
    event_of_row,
    expect,
    move_to_new_stream,
    single_value,
)
from cardmint_edge.domain.delivery.batches import StoredEvent, Timestamp
from cardmint_edge.domain.delivery.window import StreamState
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.errors import Stop

OUTBOX_FILE = "outbox.db"
"""Name of the outbox in the station's data folder."""

HISTORY = 1000
"""Scans that the local history keeps, at least."""

PICTURES = 200_000
"""Files that are known as counted, at least."""

PRUNE_PICTURES_EVERY = 1000
"""Scans between two deletions of files: each reads the whole table."""

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
            return single_value(tx, "UPDATE station SET epoch = epoch + 1 RETURNING epoch")

    @property
    def stream_state(self) -> StreamState:
        """How far the stream got."""
        ((stream, acknowledged, last, database),) = self.database.read(
            "SELECT stream, acknowledged, last, cloud_database FROM station"
        )
        return StreamState(
            stream=UUID(stream),
            acknowledged=acknowledged,
            last=last,
            database=UUID(database) if database else None,
        )

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
            sequence = append_event(tx, data, stamp)
        self._on_append()
        return sequence

    def record(
        self,
        scan: CardScanned,
        stamp: Timestamp,
        origin: str = "",
        fingerprint: bytes = b"",
        picture: str = "",
    ) -> ScanRecord:
        """Count one scan: write event, history, image reference and counters, or none of them.

        `picture` is the SHA-256 (hex) of the file that shows the card; empty where there is none.
        A scan that was recorded before is not counted again; its record is returned.
        """
        image = scan.image
        with self.database.write() as tx:
            known = tx.execute(_SCAN_COLUMNS + "WHERE scan = ?", (str(scan.scan),)).fetchone()
            if known is not None:
                return _record_of(known)
            sequence = append_event(tx, scan, stamp)
            position = single_value(
                tx, "UPDATE station SET scanned = scanned + 1 RETURNING scanned"
            )
            tx.execute(
                "INSERT INTO scans (position, scan, sequence, origin, time, data, fingerprint,"
                " type, place, stream)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT stream_number FROM station))",
                (
                    position,
                    str(scan.scan),
                    sequence,
                    origin,
                    stamp.time.isoformat(),
                    encode(scan),
                    fingerprint,
                    NAMES[CardScanned],
                    sequence,
                ),
            )
            if position % PRUNE_EVERY == 0:
                tx.execute("DELETE FROM scans WHERE position <= ?", (position - HISTORY,))
            if picture:
                tx.execute(
                    "INSERT OR REPLACE INTO pictures (sha256, scan, position) VALUES (?, ?, ?)",
                    (bytes.fromhex(picture), str(scan.scan), position),
                )
            if position % PRUNE_PICTURES_EVERY == 0:
                tx.execute("DELETE FROM pictures WHERE position <= ?", (position - PICTURES,))
            if image is not None:
                tx.execute(
                    "INSERT INTO images (sha256, bytes, sequence, item) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET sequence = excluded.sequence, item = excluded.item,"
                    " kept = 'full'",
                    (image.sha256, image.bytes, sequence, str(scan.rescan_of or scan.scan)),
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
                # What is no longer counted can be counted again.
                tx.execute("DELETE FROM pictures WHERE scan = ?", (str(scan),))
                append_event(tx, ScanWithdrawn(scan=scan, by=by), stamp)
        if withdrawn:
            self._on_append()
        return bool(withdrawn)

    def scan_of_picture(self, picture: str) -> UUID | None:
        """Return the scan that counted a file (SHA-256, hex); None if it is not counted."""
        rows = self.database.read(
            "SELECT scan FROM pictures WHERE sha256 = ?", bytes.fromhex(picture)
        )
        return UUID(rows[0][0]) if rows else None

    def park(self) -> None:
        """Count one capture that was set aside, so that a restarted camera begins after it."""
        with self.database.write() as tx:
            single_value(tx, "UPDATE station SET parked = parked + 1 RETURNING parked")

    def events(self, first: int, count: int) -> list[StoredEvent]:
        """Return at most `count` events from sequence `first` on."""
        rows = self.database.read(SELECT_EVENTS, first, count)
        return [event_of_row(row) for row in rows]

    def digest_at(self, sequence: int) -> bytes | None:
        """Return the chain's digest at a sequence between the last receipt and the last event."""
        rows = self.database.read(
            "SELECT acknowledged_digest FROM station WHERE acknowledged = ?1"
            " UNION ALL SELECT digest FROM events WHERE sequence = ?1",
            sequence,
        )
        return rows[0][0] if rows else None

    def remove_covered(self, sequence: int, database: UUID | None) -> StreamState:
        """Remove the events up to `sequence`, which a receipt covers; return the stream's state.

        The first `database` that covers an event is the one that this station belongs to.
        """
        state = self.stream_state
        if sequence <= state.acknowledged:
            return state
        with self.database.write() as tx:
            digest = self.digest_at(sequence)
            removed = tx.execute("DELETE FROM events WHERE sequence <= ?", (sequence,)).rowcount
            expect(removed, sequence - state.acknowledged, "events to remove")
            single_value(
                tx,
                "UPDATE station SET acknowledged = ?, acknowledged_digest = ?,"
                " cloud_database = coalesce(cloud_database, ?) RETURNING acknowledged",
                sequence,
                digest,
                str(database) if database is not None else None,
            )
        return self.stream_state

    def open_stream(
        self,
        reason: StreamReason,
        stamp: Timestamp,
        *,
        database: UUID | None,
        cloud_has: int | None = None,
    ) -> StreamState:
        """Go on in a new stream with all unsent events, and return its state.

        `database` is the one that the station belongs to from now on; None leaves it to the first
        receipt. `cloud_has` is the last sequence of a cloud that lacks what receipts covered.
        """
        before = self.stream_state
        with self.database.write() as tx:
            stream = move_to_new_stream(tx, reason, stamp, cloud_has=cloud_has)
            tx.execute(
                "UPDATE station SET cloud_database = ?", (str(database) if database else None,)
            )
        log.error(
            "a new stream begins with all unsent events; nothing is removed",
            reason=reason.value,
            old_stream=str(before.stream),
            acknowledged=before.acknowledged,
            last=before.last,
            new_stream=str(stream),
        )
        self._on_append()
        return self.stream_state

    def identify(
        self,
        tenant: str,
        station: str,
        stamp: Timestamp,
        database: UUID | None = None,
        *,
        box: str = "",
    ) -> None:
        """Tell the outbox in whose name it sends, and on which hardware.

        When one of them changes, a new stream begins. `database` is the cloud's that the station
        belongs to; None leaves it to the first receipt. `box` is a `hardware_id`.
        """
        ((*named, last_box),) = self.database.read("SELECT tenant, name, box FROM station")
        known = tuple(named)
        if known not in {(tenant, station), ("", "")}:
            self.open_stream(StreamReason.RENAMED, stamp, database=self.stream_state.database)
        elif _is_another_box(last_box, box):
            self.open_stream(StreamReason.OTHER_BOX, stamp, database=self.stream_state.database)
        belongs_to = self.stream_state.database
        if database is not None and belongs_to not in {database, None}:
            self.open_stream(StreamReason.DATABASE_REPLACED, stamp, database=database)
        box = box or last_box
        if (*known, last_box) == (tenant, station, box) and database in {belongs_to, None}:
            return
        with self.database.write() as tx:
            tx.execute(
                "UPDATE station SET tenant = ?, name = ?, box = ?,"
                " cloud_database = coalesce(?, cloud_database)",
                (tenant, station, box, str(database) if database is not None else None),
            )

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

    def scans_after(self, position: int, count: int) -> list[ScanRecord]:
        """Return the `count` newest scans after a position, the oldest first."""
        rows = self.database.read(
            _SCAN_COLUMNS + "WHERE position > ? ORDER BY position DESC LIMIT ?", position, count
        )
        return [_record_of(row) for row in reversed(rows)]

    def withdrawn_scans(self) -> set[UUID]:
        """Return the scans of the history that were taken back."""
        rows = self.database.read("SELECT scan FROM scans WHERE withdrawn = 1")
        return {UUID(scan) for (scan,) in rows}

    def scan(self, scan: UUID) -> ScanRecord | None:
        """Return a scan of the history; None for one that is not in it any more."""
        return self._find(str(scan))

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
            single_value(tx, "UPDATE station SET defaults = ? RETURNING 1", encode(defaults))


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


def _do_nothing() -> None:
    pass


def _is_another_box(before: str, now: str) -> bool:
    """Return whether two identifiers of hardware are of one kind and differ."""
    kind, _, number = before.partition(":")
    kind_now, _, number_now = now.partition(":")
    return bool(number and number_now) and kind == kind_now and number != number_now
