"""The outbox: what the station counted, in sequence, until a receipt covers it.

One transaction a card holds the event, the line of the local history, the reference to the image
and the counter. `stream` is made with the database; `sequence` counts 1, 2, 3 … within it, and its
counter outlives the rows.
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
from cardmint_edge.domain.delivery.window import StreamPosition
from cardmint_edge.errors import Stop

HISTORY = 1000
"""How many scans the local history keeps at least."""

PRUNED = 100
"""How many it gives up at once: each that goes writes pages as each that comes does."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanRecord:
    """One line of the local history.

    `position` counts the station's scans; `sequence` is the event's at the time.
    """

    position: int
    sequence: int
    time: datetime
    scan: CardScanned
    fingerprint: bytes = b""
    withdrawn: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxCounters:
    """What was ever counted in this outbox: scans, captures set aside, starts of the agent."""

    scanned: int
    parked: int
    epoch: int


class Outbox:
    """The one writer of the station's facts; safe to call from several threads.

    Every method may raise `Stop`.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._appended: Callable[[], None] = _nobody

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the outbox as its one writer; make it when there is none."""
        return cls(Database.open(path))

    def close(self) -> None:
        """Let the file go."""
        self.database.close()

    def listen(self, appended: Callable[[], None]) -> None:
        """Call `appended` after each commit that appended an event."""
        self._appended = appended

    def start(self) -> int:
        """Count a start of the agent and return its epoch."""
        with self.database.write() as tx:
            return _one(tx, "UPDATE station SET epoch = epoch + 1 RETURNING epoch")

    @property
    def mark(self) -> StreamPosition:
        """Where the outbox stands."""
        ((stream, acknowledged, last),) = self.database.read(
            "SELECT stream, acknowledged, last FROM station"
        )
        return StreamPosition(stream=UUID(stream), acknowledged=acknowledged, last=last)

    @property
    def counters(self) -> OutboxCounters:
        """What was ever counted here."""
        ((scanned, parked, epoch),) = self.database.read(
            "SELECT scanned, parked, epoch FROM station"
        )
        return OutboxCounters(scanned=scanned, parked=parked, epoch=epoch)

    def append(self, data: EventData, stamp: Timestamp) -> int:
        """Store one event and return its sequence."""
        with self.database.write() as tx:
            sequence = _append(tx, data, stamp)
        self._appended()
        return sequence

    def record(
        self, scan: CardScanned, stamp: Timestamp, origin: str = "", fingerprint: bytes = b""
    ) -> ScanRecord:
        """Count one scan: event, history, image reference and counter, or none of them.

        A scan that was recorded before is not counted again: its line is returned.
        """
        image = scan.image
        with self.database.write() as tx:
            known = tx.execute(_SCAN_COLUMNS + "WHERE scan = ?", (str(scan.scan),)).fetchone()
            if known is not None:
                return _line(known)
            sequence = _append(tx, scan, stamp)
            position = _one(tx, "UPDATE station SET scanned = scanned + 1 RETURNING scanned")
            tx.execute(
                "INSERT INTO scans (position, scan, sequence, origin, time, data, fingerprint, type) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
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
            if position % PRUNED == 0:
                tx.execute("DELETE FROM scans WHERE position <= ?", (position - HISTORY,))
            if image is not None:
                tx.execute(
                    "INSERT INTO images (sha256, bytes, sequence) VALUES (?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET sequence = excluded.sequence, kept = 'full'",
                    (image.sha256, image.bytes, sequence),
                )
        self._appended()
        return ScanRecord(
            position=position,
            sequence=sequence,
            time=stamp.time,
            scan=scan,
            fingerprint=fingerprint,
        )

    def withdraw(self, scan: UUID, by: str, stamp: Timestamp) -> bool:
        """Take a scan back, once; False when it is not in the history, or was taken back before."""
        with self.database.write() as tx:
            found = tx.execute(
                "UPDATE scans SET withdrawn = 1 WHERE scan = ? AND withdrawn = 0", (str(scan),)
            ).rowcount
            if found:
                _append(tx, ScanWithdrawn(scan=scan, by=by), stamp)
        if found:
            self._appended()
        return bool(found)

    def park(self) -> None:
        """Count one capture that was set aside, so that a restarted camera begins after it."""
        with self.database.write() as tx:
            _one(tx, "UPDATE station SET parked = parked + 1 RETURNING parked")

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

    def forget(self, stream: UUID, sequence: int) -> StreamPosition:
        """Remove what a receipt covers, and return where the outbox stands then.

        A receipt of another stream changes nothing. One beyond what was ever appended is of another
        copy of this database (a restored backup, a cloned card): nothing is removed, and a new
        stream begins with what is unsent.
        """
        mark = self.mark
        if stream != mark.stream:
            log.warning(
                "receipt of another stream ignored", theirs=str(stream), ours=str(mark.stream)
            )
            return mark
        if sequence > mark.last:
            return self._begin_new_stream(sequence)
        if sequence <= mark.acknowledged:
            return mark
        with self.database.write() as tx:
            removed = tx.execute("DELETE FROM events WHERE sequence <= ?", (sequence,)).rowcount
            _expect(removed, sequence - mark.acknowledged, "events to remove")
            _one(tx, "UPDATE station SET acknowledged = ? RETURNING acknowledged", sequence)
        return self.mark

    def oldest(self) -> datetime | None:
        """Return when the oldest event without a receipt happened; None when there is none."""
        rows = self.database.read("SELECT time FROM events ORDER BY sequence LIMIT 1")
        return datetime.fromisoformat(rows[0][0]) if rows else None

    def scans(self, count: int) -> list[ScanRecord]:
        """Return the last scans, the newest first."""
        return [
            _line(row)
            for row in self.database.read(_SCAN_COLUMNS + "ORDER BY position DESC LIMIT ?", count)
        ]

    def before(self, scan: UUID) -> ScanRecord | None:
        """Return the scan whose card `scan` perhaps shows again.

        None when there is none, or none in the history.
        """
        again = self._find(str(scan))
        return self._find(str(again.scan.possible_duplicate_of)) if again else None

    def _find(self, scan: str) -> ScanRecord | None:
        rows = self.database.read(_SCAN_COLUMNS + "WHERE scan = ?", scan)
        return _line(rows[0]) if rows else None

    @property
    def last_shot(self) -> tuple[str, str] | None:
        """Where the last recorded shot came from, and its image's SHA-256.

        None when there is none.
        """
        rows = self.database.read(
            "SELECT origin, type, data FROM scans ORDER BY position DESC LIMIT 1"
        )
        if not rows:
            return None
        image = _scan(rows[0][1], rows[0][2]).image
        return rows[0][0], image.sha256 if image else ""

    @property
    def defaults(self) -> ScanDefaults:
        """What the operator says of every card until they say otherwise."""
        return decode(self.database.read("SELECT defaults FROM station")[0][0], ScanDefaults)

    def set_defaults(self, defaults: ScanDefaults) -> None:
        """Use `defaults` for every later scan."""
        with self.database.write() as tx:
            _one(tx, "UPDATE station SET defaults = ? RETURNING 1", encode(defaults))

    def _begin_new_stream(self, receipted: int) -> StreamPosition:
        stream = uuid4()
        with self.database.write() as tx:
            mark = self.mark
            count = mark.last - mark.acknowledged
            # By way of negative numbers: no row may meet one that has not moved yet.
            for step in (
                "UPDATE events SET sequence = -sequence",
                "UPDATE events SET sequence = -sequence - ?",
            ):
                parameters = (mark.acknowledged,) if "?" in step else ()
                _expect(tx.execute(step, parameters).rowcount, count, "events to renumber")
            tx.execute("UPDATE images SET sequence = max(0, sequence - ?)", (mark.acknowledged,))
            _one(
                tx,
                "UPDATE station SET stream = ?, acknowledged = 0, last = ? RETURNING last",
                str(stream),
                count,
            )
        log.error(
            "a receipt covers more than this outbox ever held: it was restored from a backup or copied; "
            "a new stream begins and nothing is removed",
            receipted=receipted,
            last=mark.last,
            old_stream=str(mark.stream),
            new_stream=str(stream),
            unsent=count,
        )
        return StreamPosition(stream=stream, acknowledged=0, last=count)


_SCAN_COLUMNS = "SELECT position, sequence, time, type, data, fingerprint, withdrawn FROM scans "


def _line(row: tuple[int, int, str, str, bytes, bytes, int]) -> ScanRecord:
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
    """Return a scan of the history, which an earlier version of the agent may have written."""
    event = decode_data(type_name, data)
    if not isinstance(event, CardScanned):
        raise Stop(f"the outbox is not sound: a {type_name} stands among the scans; keep a copy")
    return event


def _append(tx: Connection, data: EventData, stamp: Timestamp) -> int:
    sequence = _one(tx, "UPDATE station SET last = last + 1 RETURNING last")
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


def _one(tx: Connection, sql: str, *parameters: object) -> int:
    rows = tx.execute(sql, parameters).fetchall()
    _expect(len(rows), 1, "row of the station")
    value: int = rows[0][0]
    return value


def _expect(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        message = f"the outbox is not sound: {found} instead of {wanted} {what}; stop, and keep a copy of it"
        raise Stop(message)


def _nobody() -> None:
    pass
