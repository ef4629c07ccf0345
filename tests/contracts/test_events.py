"""Event data, tasks, receipts and topics: strict upward, lenient downward, every refusal named."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_contracts import topics
from cardmint_contracts.cards import Card, Decision, Money, ScanDefaults
from cardmint_contracts.errors import (
    BadTopic,
    ContractError,
    Invalid,
    Malformed,
    Oversized,
    UnknownField,
    UnknownType,
)
from cardmint_contracts.events import CardScanned, RecogniserIdentity, ReviewAnswered
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationState
from cardmint_contracts.tasks import ReviewTask
from cardmint_contracts.upcasters import MAX_EVENT_BYTES, decode_data
from cardmint_contracts.wire import convert, decode, encode

SCANNED = "cardmint.card.scanned.v2"
CARD = Card(id="base1-4", name="Charizard", number="4")


def scanned(**changes: object) -> bytes:
    whole = CardScanned(
        scan=UUID(int=1),
        decision=Decision.ACCEPT,
        recogniser=RecogniserIdentity(method="classical", pack="p"),
        card=CARD,
    )
    plain = msgspec.to_builtins(whole)
    return encode({**plain, **changes})


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (scanned(colour="red"), UnknownField),
        (scanned(confidence=1.5), Invalid),
        (scanned(confidence="high"), Invalid),
        (scanned(card=None), Invalid),
        (scanned(decision="review"), Invalid),
        (scanned(card={"id": "../../etc", "name": "x"}), Invalid),
        (scanned(card={"id": "a", "name": "nul \x00"}), Invalid),
        (scanned(defaults={"bin": "two\nlines"}), Invalid),
        (scanned(defaults={"bin": "deleted \x7f"}), Invalid),
        (scanned(candidates=[{"card": {"id": "a", "name": "tab\t"}, "confidence": 1}]), Invalid),
        (
            scanned(recogniser={"method": "m", "pack": "p", "models": {"reader": "\x1b[31m"}}),
            Invalid,
        ),
        (scanned(reasons=["Not a code"]), Invalid),
        (scanned()[:-1], Malformed),
        (b'{"scan": "\\ud800"}', Malformed),
        (b"[" * 100_000, Oversized),
        (b"[" * 5_000, ContractError),
        (b" " * (MAX_EVENT_BYTES + 1), Oversized),
    ],
)
def test_bad_data_is_named(payload: bytes, error: type[ContractError]) -> None:
    with pytest.raises(error) as caught:
        decode_data(SCANNED, payload)
    assert caught.value.reason


def test_a_control_character_is_named_by_its_place() -> None:
    with pytest.raises(
        Invalid, match=r"control characters in the text - at `\$\.candidates\[0\]\.card\.name`"
    ):
        decode_data(
            SCANNED, scanned(candidates=[{"card": {"id": "a", "name": "\0"}, "confidence": 1}])
        )
    with pytest.raises(msgspec.ValidationError, match="control characters"):
        convert({"bin": "two\nlines"}, ScanDefaults)
    assert convert({"bin": "A3"}, ScanDefaults) == ScanDefaults(bin="A3")


def test_quotes_and_backslashes_are_text_like_any_other() -> None:
    event = decode_data(SCANNED, scanned(defaults={"bin": 'the "\\n" bin'}))
    assert isinstance(event, CardScanned)
    assert event.defaults.bin == 'the "\\n" bin'


def test_an_unknown_type_says_what_to_do() -> None:
    with pytest.raises(UnknownType, match="upgrade"):
        decode_data("cardmint.card.scanned.v9", scanned())


def test_an_answer_names_a_card_exactly_when_it_is_one() -> None:
    with pytest.raises(ValueError, match="card"):
        ReviewAnswered(
            task=uuid4(), task_version=1, scan=uuid4(), verdict="no_card", by="left", card=CARD
        )


@given(st.uuids(), st.integers(0, 2**63 - 1), st.none() | st.integers(1, 2**63 - 1))
def test_receipts_round_trip(stream: UUID, sequence: int, refused: int | None) -> None:
    receipt = Receipt(stream=stream, sequence=sequence, refused=refused)
    assert decode(encode(receipt), Receipt) == receipt


@given(
    st.builds(
        ReviewTask,
        task=st.uuids(),
        version=st.integers(1, 9),
        scan=st.uuids(),
        opened=st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    )
)
def test_tasks_round_trip(task: ReviewTask) -> None:
    assert decode(encode(task), ReviewTask) == task


def test_a_station_understands_a_newer_cloud_but_the_cloud_parks_a_newer_station() -> None:
    receipt = (
        b'{"stream":"00000000-0000-0000-0000-000000000001","sequence":7,"invented_later":true}'
    )
    assert decode(receipt, Receipt).sequence == 7
    state = StationState(
        online=True,
        epoch=1,
        bootid=uuid4(),
        stream=uuid4(),
        time="2026-01-01T00:00:00+00:00",
        version="1",
    )
    with pytest.raises(UnknownField):
        decode(encode(state)[:-1] + b',"invented_later":true}', StationState)


def test_money_is_never_mixed() -> None:
    assert Money(minor=1, currency="USD") + Money(minor=2, currency="USD") == Money(
        minor=3, currency="USD"
    )
    with pytest.raises(ValueError, match="rate"):
        Money(minor=1, currency="USD") + Money(minor=2, currency="EUR")
    with pytest.raises(Invalid):
        decode(b'{"minor": 1.5, "currency": "USD"}', Money)


names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True).filter(
    lambda n: n not in {"fleet", "feed"}
)


@given(names, names, st.uuids())
def test_topics_parse_as_they_are_built(tenant: str, station: str, task: UUID) -> None:
    kinds: tuple[Literal["events", "receipt", "state", "health"], ...] = (
        "events",
        "receipt",
        "state",
        "health",
    )
    for kind in kinds:
        assert topics.parse(topics.station_topic(tenant, station, kind)) == (
            tenant,
            station,
            kind,
            None,
        )
    assert topics.parse(topics.task_topic(tenant, station, task)) == (
        tenant,
        station,
        "tasks",
        task,
    )
    assert topics.parse(topics.command_topic(tenant, station, task)) == (
        tenant,
        station,
        "commands",
        task,
    )
    assert topics.parse(topics.reply_topic(tenant, station, task)) == (
        tenant,
        station,
        "commands/reply",
        task,
    )
    assert topics.parse(topics.config_topic(tenant, station, "desired")) == (
        tenant,
        station,
        "config/desired",
        None,
    )
    assert topics.parse(topics.config_topic(tenant, station, "reported")) == (
        tenant,
        station,
        "config/reported",
        None,
    )
    assert topics.parse(topics.fleet_topic(tenant, "models")) == (tenant, "", "fleet/models", None)
    assert topics.parse(topics.fleet_topic(tenant, "catalogue")) == (
        tenant,
        "",
        "fleet/catalogue",
        None,
    )
    assert topics.parse(topics.fleet_sets_topic(tenant)) == (tenant, "", "fleet/sets", None)
    with pytest.raises(BadTopic):
        topics.parse(f"{topics.ROOT}/{tenant}/fleet/others")
    assert topics.station_commands(tenant, station).endswith("/commands/+")
    assert topics.parse(topics.outcome_topic(tenant, station, task)) == (
        tenant,
        station,
        "outcomes",
        task,
    )
    assert (
        topics.station_outcomes(tenant, station)
        == topics.outcome_topic(tenant, station, task)[:-36] + "+"
    )


@given(st.text(max_size=80))
def test_any_text_is_a_topic_or_named(text: str) -> None:
    with pytest.raises(BadTopic):
        topics.parse(text)


@pytest.mark.parametrize("kind", ["gossip", "tasks", "events/1", "tasks/not-a-uuid"])
def test_a_channel_that_no_station_has_is_refused(kind: str) -> None:
    with pytest.raises(BadTopic):
        topics.parse(f"cardmint/v1/shop/left/{kind}")


@pytest.mark.parametrize(
    "text", ["", "A", "a/b", "a+", "#", "fleet", "feed", "-a", "a" * 64, "a\n"]
)
def test_names_that_would_break_a_topic_are_refused(text: str) -> None:
    with pytest.raises(BadTopic):
        topics.station_topic(text, "left", "events")


def test_filters_match_what_is_built() -> None:
    from paho.mqtt.client import topic_matches_sub

    assert topic_matches_sub(
        topics.every_station("events"), topics.station_topic("shop", "left", "events")
    )
    assert topic_matches_sub(
        topics.station_tasks("shop", "left"), topics.task_topic("shop", "left", UUID(int=1))
    )
    assert not topic_matches_sub(
        topics.every_station("events"), topics.station_topic("shop", "left", "state")
    )
