"""Access rights: what stations publish, the cloud reads, and the other way round."""

from uuid import UUID

import pytest
from paho.mqtt.client import topic_matches_sub

from cardmint_contracts import access, topics
from cardmint_contracts.errors import BadTopic

TASK = UUID(int=7)
UP = [
    *(topics.station_topic("shop", "left", kind) for kind in ("events", "state", "health")),
    topics.reply_topic("shop", "left", TASK),
    topics.config_topic("shop", "left", "reported"),
]
DOWN = [
    topics.station_topic("shop", "left", "receipt"),
    topics.task_topic("shop", "left", TASK),
    topics.outcome_topic("shop", "left", TASK),
    topics.command_topic("shop", "left", TASK),
    topics.config_topic("shop", "left", "desired"),
    topics.fleet_topic("shop", "catalogue"),
    topics.fleet_topic("shop", "models"),
]


def allowed(filters: tuple[str, ...], topic: str) -> bool:
    return any(topic_matches_sub(one, topic) for one in filters)


def test_each_topic_has_one_side_that_publishes_and_one_that_reads() -> None:
    station, cloud = access.station_rights("shop", "left"), access.cloud_rights()
    for topic in UP:
        assert allowed(station.publish, topic)
        assert allowed(station.read, topic) == topic.endswith("/state"), "of another box"
        assert not allowed(cloud.publish, topic)
        assert allowed(cloud.read, topic)
    for topic in DOWN:
        assert allowed(station.read, topic)
        assert not allowed(station.publish, topic)
        assert allowed(cloud.publish, topic)


def test_a_station_has_no_right_on_another() -> None:
    for other in (access.station_rights("shop", "right"), access.station_rights("other", "left")):
        assert not any(allowed(other.publish, topic) for topic in UP + DOWN)
    assert not any(allowed(access.station_rights("other", "left").read, topic) for topic in DOWN)


def test_a_reader_reads_the_feed_of_its_tenant_only() -> None:
    reader = access.reader_rights("shop", "graphs")
    asks = ("cardmint/v1/shop/feed/replay/graphs",)
    assert reader == access.Rights(publish=asks, read=("cardmint/v1/shop/feed/#",))
    assert not any(allowed(reader.read, topic) for topic in UP + DOWN)


def test_a_user_name_names_tenant_and_client() -> None:
    assert access.user_name("shop", "left") == "shop/left"
    for tenant, client in (("shop", "+"), ("#", "left"), ("shop", "a/b"), ("", "left")):
        with pytest.raises(BadTopic):
            access.user_name(tenant, client)
