"""Packing: a batch takes as many events as fit, in order, and a reader decodes them."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.edge.kit.scans import NOW, STAMP, scan_of

from cardmint_contracts.envelope import BATCH, BATCH_GZIP, decode_batch
from cardmint_contracts.events import NAMES, CardScanned, ScanWithdrawn
from cardmint_contracts.wire import clock_text, encode
from cardmint_edge.domain.delivery.batches import EventTooLarge, StoredEvent, pack

STREAM = UUID(int=7)


def events_of(count: int, first: int = 1) -> list[StoredEvent]:
    return [
        StoredEvent(
            sequence=first + i,
            type=NAMES[CardScanned],
            stamp=STAMP,
            data=encode(scan_of(first + i)),
        )
        for i in range(count)
    ]


@given(count=st.integers(1, 50), first=st.integers(1, 2**62), limit=st.integers(1500, 30_000))
def test_what_is_packed_fits_and_comes_out(count: int, first: int, limit: int) -> None:
    events = events_of(count, first)
    batch = pack(events, source="/stations/left", stream=STREAM, max_bytes=limit)
    assert len(batch.payload) <= limit
    assert (batch.stream, batch.first) == (STREAM, first)
    read = decode_batch(batch.payload, batch.content_type)
    assert [e.number for e in read] == list(range(first, batch.last + 1))
    assert [bytes(e.data) for e in read] == [e.data for e in events[: len(read)]]
    assert {(e.time, e.source, e.bootid, e.monotonicms) for e in read} == {
        (clock_text(NOW), "/stations/left", STAMP.bootid, f"{STAMP.monotonic_ms:019d}")
    }


def test_compression_is_used_when_it_pays() -> None:
    scan = scan_of(1).scan
    small = StoredEvent(
        sequence=1,
        type=NAMES[ScanWithdrawn],
        stamp=STAMP,
        data=encode(ScanWithdrawn(scan=scan, by="station")),
    )
    one = pack([small], source="/stations/left", stream=STREAM, max_bytes=100_000)
    many = pack(events_of(50), source="/stations/left", stream=STREAM, max_bytes=100_000)
    assert (one.content_type, many.content_type) == (BATCH, BATCH_GZIP)
    assert len(many.payload) < sum(len(event.data) for event in events_of(50)) / 5


def test_an_event_that_does_not_fit_is_named() -> None:
    with pytest.raises(EventTooLarge, match="event 3 takes"):
        pack(events_of(2, 3), source="/stations/left", stream=STREAM, max_bytes=100)
