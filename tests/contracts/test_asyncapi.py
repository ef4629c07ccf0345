"""The published AsyncAPI and OpenAPI documents are what the code says."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from msgspec import Raw

from cardmint_contracts import openapi, topics
from cardmint_contracts.asyncapi import document
from cardmint_contracts.envelope import digits
from cardmint_contracts.feed import FEED_TYPES, FeedEvent
from cardmint_contracts.reasons import Reason

ID = "00000000-0000-0000-0000-000000000001"
FILE = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def test_the_document_is_current() -> None:
    assert json.loads(FILE.read_text()) == document(), (
        "run: python -m cardmint_contracts.asyncapi > docs/asyncapi.json"
    )


def test_the_http_document_is_current() -> None:
    file = FILE.with_name("openapi.json")
    assert json.loads(file.read_text()) == openapi.document(), (
        "run: python -m cardmint_contracts.openapi > docs/openapi.json"
    )


def test_reasons_and_claims_are_described() -> None:
    made = document()
    assert made["x-reason-codes"]["same-art"] == Reason.SAME_ART.description
    for message in made["channels"]["events"]["messages"].values():
        assert set(message["headers"]["properties"]) == {"stream", "first", "last", "before"}


def test_every_reference_leads_somewhere_and_every_channel_parses() -> None:
    made = document()
    text = json.dumps(made)
    for part in text.split('"$ref": "#/')[1:]:
        node = made
        for step in part.split('"', 1)[0].split("/"):
            node = node[step]
    values = {"tenant": "shop", "station": "left", "task": ID, "command": ID, "reader": "graphs"}
    told = {kind.steps for kind in FEED_TYPES.values()}
    told |= {"now/counters", "now/stations/left", "replay/graphs", "replay/graphs/answer"}
    for channel in made["channels"].values():
        address = channel["address"].format(**values)
        _, _, steps = address.partition("/feed/")
        if steps:
            told.remove(steps)
            assert address == topics.feed_topic("shop", steps)
        else:
            assert topics.parse(address).tenant == "shop"
    assert not told


def test_the_topics_of_the_feed_are_built_and_parsed() -> None:
    asked = topics.replay_topic("shop", "graphs")
    assert topics.parse_replay(asked) == ("shop", "graphs")
    for other in (
        topics.replay_answer_topic("shop", "graphs"),
        topics.feed_counters_topic("shop"),
        topics.feed_station_topic("shop", "left"),
        "cardmint/v1/Shop/feed/replay/graphs",
        "cardmint/v1/shop/feed/replay/+",
        "cardmint/v2/shop/feed/replay/graphs",
    ):
        assert topics.parse_replay(other) is None


def test_an_event_of_the_feed_knows_its_number() -> None:
    event = FeedEvent(
        id=f"{ID}/7",
        source="/tenants/shop",
        type="cardmint.feed.station.up.v1",
        time=datetime(2026, 11, 28, tzinfo=UTC),
        stream=UUID(ID),
        sequence=digits(7),
        data=Raw(b"{}"),
    )
    assert event.number == 7
