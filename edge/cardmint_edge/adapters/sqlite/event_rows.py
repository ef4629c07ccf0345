"""The rows of unsent events: appended to the stream's chain, or moved into a new stream.

Every function runs within a transaction of its caller.
"""

from collections.abc import Iterable
from datetime import datetime
from sqlite3 import Connection
from typing import Any
from uuid import UUID, uuid4

from cardmint_contracts.chain import extend, start_of
from cardmint_contracts.events import (
    NAMES,
    EventData,
    ScanWithdrawn,
    StreamOpened,
    StreamReason,
)
from cardmint_contracts.wire import encode
from cardmint_edge.domain.delivery.batches import StoredEvent, Timestamp
from cardmint_edge.errors import Stop

_INSERT = """
INSERT INTO events (sequence, type, time, bootid, monotonic_ms, clock_synced, data, id, digest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
SELECT_EVENTS = """
SELECT sequence, type, time, bootid, monotonic_ms, clock_synced, data, id, digest FROM events
 WHERE sequence >= ? ORDER BY sequence LIMIT ?"""
_NAME_FIRST = """
UPDATE events SET id = CASE WHEN id = '' THEN ? || '/' || sequence ELSE id END,
       sequence = -sequence"""
_UPLOAD_AGAIN = """
UPDATE images SET uploaded = 0, sequence = s.place
  FROM (SELECT place, json_extract(CAST(data AS TEXT), '$.image.sha256') AS image
          FROM scans WHERE place > 0) AS s
 WHERE images.sha256 = s.image AND images.kept = 'full' AND images.sequence = 0"""
_NO_BOOT = UUID(int=0)
_WITHDRAWN_BY = "station"
_CHAINED_AT_ONCE = 1000


def append_event(tx: Connection, data: EventData, stamp: Timestamp) -> int:
    """Append an event to the stream, and return its sequence."""
    last, digest = _single_row(tx, "SELECT last, digest FROM station")
    event = StoredEvent(sequence=last + 1, type=NAMES[type(data)], stamp=stamp, data=encode(data))
    after = extend(digest, event, event.data)
    single_value(tx, "UPDATE station SET last = last + 1, digest = ? RETURNING last", after)
    tx.execute(_INSERT, _row(event, after))
    return event.sequence


def event_of_row(row: Any) -> StoredEvent:
    """Return an event from a row of `SELECT_EVENTS`."""
    sequence, type_name, time, bootid, monotonic_ms, clock_synced, data, first_id, digest = row
    return StoredEvent(
        sequence=sequence,
        type=type_name,
        stamp=Timestamp(
            time=datetime.fromisoformat(time),
            bootid=UUID(bootid),
            monotonic_ms=monotonic_ms,
            clock_synced=bool(clock_synced),
        ),
        data=data,
        id=first_id,
        digest=digest,
    )


def move_to_new_stream(
    tx: Connection, reason: StreamReason, stamp: Timestamp, *, cloud_has: int | None = None
) -> UUID:
    """Open a new stream with the unsent events, and return it.

    It begins with a `StreamOpened`. The moved events keep their first identity as `id`. `cloud_has`
    is the last sequence that the cloud has, if it lacks what receipts covered. After a restored
    backup the scans of the local history and the openings of earlier streams are sent again, too.
    """
    number, old, acknowledged, last = _single_row(
        tx, "SELECT stream_number, stream, acknowledged, last FROM station"
    )
    again = _sent_before(tx, acknowledged) if reason is StreamReason.CLOUD_RESTORED else []
    lacks_from = acknowledged + 1 if cloud_has is None else cloud_has + 1
    found = sum(1 for place, _ in again if place >= lacks_from)
    missing = acknowledged + 1 - lacks_from - found
    opened = StreamOpened(
        reason=reason,
        previous=UUID(old),
        acknowledged=acknowledged,
        last=last,
        resent=found,
        missing=missing,
        missing_first=lacks_from if missing else 0,
        missing_last=acknowledged if missing else 0,
    )
    head = [_opening(opened, stamp), *(event for _, event in again)]
    shift = len(head) - acknowledged
    _shift_unsent(tx, old, acknowledged, last - acknowledged, shift)
    stream = uuid4()
    tx.execute(
        "INSERT INTO streams (number, stream, acknowledged, last, time, opened_next)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (number, old, acknowledged, last, stamp.time.isoformat(), head[0].data),
    )
    single_value(
        tx,
        "UPDATE station SET stream_number = ?, stream = ?, acknowledged = 0, last = ? RETURNING 1",
        number + 1,
        str(stream),
        last + shift,
    )
    for sequence, event in enumerate(head, start=1):
        tx.execute(_INSERT, (sequence, *_row(event, b"")[1:]))
        if event.id:
            tx.execute(
                "UPDATE scans SET place = ? WHERE stream = ? AND sequence = ?",
                (sequence, *_first_identity(tx, event.id)),
            )
    chain_unsent(tx, stream)
    if again:
        tx.execute(_UPLOAD_AGAIN)  # the images of the scans that are sent again
        for (scan,) in tx.execute(
            "SELECT scan FROM scans WHERE withdrawn = 1 AND place BETWEEN 1 AND ?", (len(head),)
        ).fetchall():
            append_event(tx, ScanWithdrawn(scan=UUID(scan), by=_WITHDRAWN_BY), stamp)
    return stream


def chain_unsent(tx: Connection, stream: UUID) -> None:
    """Write the digest of each unsent event anew, from the start of `stream` on."""
    digest, sequence = start_of(stream), 0
    tx.execute("UPDATE station SET acknowledged_digest = ?", (digest,))
    while rows := tx.execute(SELECT_EVENTS, (sequence + 1, _CHAINED_AT_ONCE)).fetchall():
        changed = []
        for event in map(event_of_row, rows):
            digest, sequence = extend(digest, event, event.data), event.sequence
            changed.append((digest, sequence))
        tx.executemany("UPDATE events SET digest = ? WHERE sequence = ?", changed)
    tx.execute("UPDATE station SET digest = ?", (digest,))


def single_value(tx: Connection, sql: str, *parameters: object) -> int:
    """Run a statement that returns one row, and return its first value."""
    value: int = _single_row(tx, sql, *parameters)[0]
    return value


def _single_row(tx: Connection, sql: str, *parameters: object) -> Any:
    rows = tx.execute(sql, parameters).fetchall()
    expect(len(rows), 1, "row of the station")
    return rows[0]


def expect(actual: int, expected: int, what: str) -> None:
    """Raise `Stop` where a count is not the one that it must be."""
    if actual != expected:
        raise Stop(
            f"the outbox is damaged: {actual} instead of {expected} {what}; keep a copy of it"
        )


def _shift_unsent(tx: Connection, old: str, acknowledged: int, count: int, shift: int) -> None:
    # Through negative numbers, so that no row takes a sequence that another still has.
    steps: Iterable[tuple[str, tuple[object, ...]]] = (
        (_NAME_FIRST, (old,)),
        ("UPDATE events SET sequence = -sequence + ?", (shift,)),
    )
    for step, parameters in steps:
        expect(tx.execute(step, parameters).rowcount, count, "events to renumber")
    for table, column in (("images", "sequence"), ("scans", "place")):
        tx.execute(
            f"UPDATE {table} SET {column} = CASE WHEN {column} > ? THEN {column} + ? ELSE 0 END",  # noqa: S608 - our names
            (acknowledged, shift),
        )


def _sent_before(tx: Connection, acknowledged: int) -> list[tuple[int, StoredEvent]]:
    """Return what the station still has of events that it has removed, each with its place.

    An event's place is its sequence in the current stream, 0 if it was sent in an earlier one.
    """
    streams = dict(tx.execute("SELECT number, stream FROM streams").fetchall())
    number, stream = _single_row(tx, "SELECT stream_number, stream FROM station")
    streams[number] = stream
    waiting = {first_id for (first_id,) in tx.execute("SELECT id FROM events").fetchall()}
    if acknowledged == 0:
        waiting.add(f"{stream}/1")
    openings = tx.execute("SELECT number + 1, time, opened_next FROM streams ORDER BY number")
    found = [
        (
            int(opened == number),
            _sent_event(NAMES[StreamOpened], time, data, f"{streams[opened]}/1"),
        )
        for opened, time, data in openings.fetchall()
        if f"{streams[opened]}/1" not in waiting
    ]
    scans = tx.execute(
        "SELECT place, stream, sequence, type, time, data FROM scans"
        " WHERE place <= ? ORDER BY position",
        (acknowledged,),
    )
    return found + [
        (place, _sent_event(type_name, time, data, f"{streams[first_stream]}/{sequence}"))
        for place, first_stream, sequence, type_name, time, data in scans.fetchall()
    ]


def _sent_event(type_name: str, time: str, data: bytes, first_id: str) -> StoredEvent:
    """Return an event whose row was removed: its boot is no longer known."""
    return event_of_row((0, type_name, time, str(_NO_BOOT), 0, 0, data, first_id, b""))


def _first_identity(tx: Connection, identity: str) -> tuple[int, int]:
    stream, _, sequence = identity.partition("/")
    found = tx.execute("SELECT number FROM streams WHERE stream = ?", (stream,)).fetchone()
    return (found[0] if found else 0), int(sequence)


def _opening(opened: StreamOpened, stamp: Timestamp) -> StoredEvent:
    return StoredEvent(sequence=1, type=NAMES[StreamOpened], stamp=stamp, data=encode(opened))


def _row(event: StoredEvent, digest: bytes) -> tuple[object, ...]:
    stamp = event.stamp
    return (
        event.sequence,
        event.type,
        stamp.time.isoformat(),
        str(stamp.bootid),
        stamp.monotonic_ms,
        int(stamp.clock_synced),
        event.data,
        event.id,
        digest,
    )
