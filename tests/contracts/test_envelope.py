"""The envelope: what goes in comes out, and what does not keep to the contract is named."""

import gzip
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from cardmint_contracts.cards import Decision
from cardmint_contracts.chain import extend, extend_all, start_of
from cardmint_contracts.envelope import (
    BATCH,
    BATCH_GZIP,
    EARLIEST,
    MAX_AHEAD,
    MAX_BATCH_BYTES,
    MAX_SEQUENCE,
    Envelope,
    decode_batch,
    digits,
    encode_batch,
    first_identity,
    seal,
)
from cardmint_contracts.errors import ContractError, Invalid, Malformed, Oversized, UnknownField
from cardmint_contracts.events import (
    CardScanned,
    EventData,
    ImageEvicted,
    RecogniserIdentity,
    ReviewAnswered,
)
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import clock_text, encode

STREAM = UUID(int=1)
SCANNED = CardScanned(
    scan=UUID(int=2),
    decision=Decision.REJECT,
    recogniser=RecogniserIdentity(method="classical", pack="p"),
    reasons=("no-card",),
)


def batch_of(count: int, start: int = 1, data: EventData = SCANNED) -> list[Envelope]:
    return [
        seal(
            data,
            source="/stations/left",
            time=datetime(2026, 11, 22, 12, tzinfo=UTC),
            stream=STREAM,
            sequence=start + i,
            bootid=UUID(int=3),
            monotonic_ms=i,
            clock_synced=True,
        )
        for i in range(count)
    ]


events = st.one_of(
    st.builds(
        CardScanned,
        scan=st.uuids(),
        decision=st.sampled_from([Decision.REVIEW, Decision.REJECT]),
        recogniser=st.builds(
            RecogniserIdentity,
            method=st.just("classical"),
            pack=st.from_regex(r"[ -~]{0,50}", fullmatch=True),
        ),
        confidence=st.floats(0, 1),
        margin=st.floats(0, 1),
    ),
    st.builds(
        ReviewAnswered,
        task=st.uuids(),
        task_version=st.integers(1, 2**31 - 1),
        scan=st.uuids(),
        verdict=st.just("no_card"),
        by=st.from_regex(r"[ -~]{0,50}", fullmatch=True),
    ),
    st.builds(
        ImageEvicted,
        sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
        bytes=st.integers(0, 2**63 - 1),
        kind=st.sampled_from(["full", "thumbnail"]),
        uploaded=st.booleans(),
        reason=st.just("disk-full"),
    ),
)


@given(
    data=st.lists(events, min_size=1, max_size=20),
    start=st.integers(1, MAX_SEQUENCE - 20),
    time=st.datetimes(timezones=st.just(UTC)),
    compress=st.booleans(),
)
def test_what_goes_in_comes_out(
    data: list[EventData], start: int, time: datetime, compress: bool
) -> None:
    sent = [
        seal(
            event,
            source="/stations/left",
            time=time,
            stream=STREAM,
            sequence=start + i,
            bootid=UUID(int=3),
            monotonic_ms=i,
            clock_synced=False,
        )
        for i, event in enumerate(data)
    ]
    payload, content_type = encode_batch(sent, compress=compress)
    received = decode_batch(payload, content_type)
    assert [e.number for e in received] == list(range(start, start + len(data)))
    assert [decode_data(e.type, e.data) for e in received] == data
    assert all(e.time == clock_text(time) and e.stream == STREAM for e in received)


@given(st.binary(max_size=300), st.sampled_from([BATCH, BATCH_GZIP, "text/plain", None]))
def test_any_bytes_are_read_or_named(payload: bytes, content_type: str | None) -> None:
    with pytest.raises(ContractError):
        decode_batch(payload, content_type)


def test_damaged_gzip_is_malformed() -> None:
    payload, content_type = encode_batch(batch_of(3), compress=True)
    for damaged in (payload[:-9], payload + b"x", b"\x1f\x8b" + payload):
        with pytest.raises(Malformed):
            decode_batch(damaged, content_type)


def test_oversized_input_is_refused_before_it_is_read() -> None:
    with pytest.raises(Oversized):
        decode_batch(b" " * (2 << 20), BATCH)
    with pytest.raises(Oversized):
        decode_batch(gzip.compress(b" " * (MAX_BATCH_BYTES + 1)), BATCH_GZIP)
    too_many = encode_batch(batch_of(1001), compress=True)
    with pytest.raises(Oversized):
        decode_batch(*too_many)


def test_a_batch_must_belong_together() -> None:
    gap = [*batch_of(2), *batch_of(1, start=4)]
    for wrong in ([], gap, batch_of(1, start=0)):
        with pytest.raises(Invalid):
            decode_batch(*encode_batch(wrong))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source", "/stations/Left"),
        ("source", "/stations/left\n"),
        ("type", "Cardmint!"),
        ("sequence", "00000000000000000x1"),
        ("sequence", "1"),
        ("monotonicms", "000000000000000000 "),
        ("monotonicms", "٠" * 19),
        ("monotonicms", "-" + "0" * 18),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_an_envelope_that_breaks_a_pattern_is_named(field: str, value: str, which: int) -> None:
    two = msgspec.json.decode(encode(batch_of(2)))
    decode_batch(encode(two), BATCH)
    two[which] = {**two[which], field: value}
    with pytest.raises(Invalid):
        decode_batch(encode(two), BATCH)


def test_the_last_sequence_is_taken_and_the_one_behind_it_is_not() -> None:
    assert decode_batch(*encode_batch(batch_of(1, start=MAX_SEQUENCE)))[0].number == MAX_SEQUENCE
    with pytest.raises(Invalid):
        digits(MAX_SEQUENCE + 1)
    beyond = encode_batch(batch_of(1))[0].replace(digits(1).encode(), str(2**63).encode())
    with pytest.raises(Invalid):
        decode_batch(beyond, BATCH)


def test_unknown_fields_and_wrong_types_are_named() -> None:
    payload, _ = encode_batch(batch_of(1))
    with pytest.raises(UnknownField, match="colour"):
        decode_batch(payload.replace(b'"bootid"', b'"colour":1,"bootid"'), BATCH)
    with pytest.raises(Invalid, match="clocksynced"):
        decode_batch(payload.replace(b'"clocksynced":true', b'"clocksynced":"yes"'), BATCH)
    with pytest.raises(Invalid, match="time"):
        decode_batch(payload.replace(b'"2026-11-22T12:00:00Z"', b"2026"), BATCH)
    with pytest.raises(Invalid):
        decode_batch(payload.replace(b"/stations/left", b"/STATIONS/left"), BATCH)


RECEIVED = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-26T12:00:00Z", RECEIVED - timedelta(days=1)),
        ("2026-11-28T13:00:00+01:00", RECEIVED + timedelta(days=1)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_plausible_time_is_the_stations(text: str, moment: datetime) -> None:
    for synced in (True, False):
        event = replace(batch_of(1)[0], time=text, clocksynced=synced)
        assert event.happened(RECEIVED) == (moment, synced)


@pytest.mark.parametrize(
    "text",
    [
        "1999-12-31T23:59:59Z",
        "2026-11-28T12:00:01Z",
        "2090-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-11-27T12:00:00",
        "yesterday",
    ],
)
def test_nothing_is_refused_for_its_date(text: str) -> None:
    payload, _ = encode_batch([replace(batch_of(1)[0], time=text)])
    (event,) = decode_batch(payload, BATCH)
    assert event.happened(RECEIVED) == (RECEIVED, False)


@given(st.text(min_size=1, max_size=40))
def test_whatever_a_time_says_it_becomes_a_moment(text: str) -> None:
    moment, _ = replace(batch_of(1)[0], time=text).happened(RECEIVED)
    assert EARLIEST <= moment <= RECEIVED + MAX_AHEAD


@pytest.mark.parametrize(
    ("identity", "first"),
    [
        (f"{UUID(int=9)}/7", (UUID(int=9), 7)),
        (f"{STREAM}/7", None),
        ("none/7", None),
        (f"{UUID(int=9)}/0", None),
        (f"{UUID(int=9)}/{10**18}", None),
        ("a", None),
    ],
)
def test_the_first_identity_of_a_moved_event(identity: str, first: tuple[UUID, int] | None) -> None:
    assert first_identity(replace(batch_of(1)[0], id=identity)) == first


def test_the_chain_depends_on_every_event_and_its_order() -> None:
    one, two = batch_of(2)
    two = replace(two, monotonicms=digits(9))
    changed = [
        replace(two, type="a"),
        replace(two, time="now"),
        replace(two, bootid=UUID(int=8)),
        replace(two, monotonicms=digits(1)),
        replace(two, data=Raw(b"{}")),
    ]
    chains = [[one, two], [two, one], [one], *([one, other] for other in changed)]
    start = start_of(STREAM)
    digests = {extend_all(start, ((e, e.data) for e in chain)) for chain in chains}
    assert len(digests | {start, start_of(UUID(int=77))}) == len(chains) + 2
    assert extend_all(extend(start, one, one.data), [(two, two.data)]) in digests
