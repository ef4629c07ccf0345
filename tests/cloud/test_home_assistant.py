"""Home Assistant's discovery: its documented keys, and topics that the feed really has."""

import asyncio
import json
import queue
import re
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from jinja2 import Environment
from paho.mqtt.enums import CallbackAPIVersion

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.home_assistant import discovery, discovery_prefix
from cardmint_cloud.ingest.worker import Worker
from cardmint_cloud.local.broker import LocalBroker
from tests.cloud.kit.cards import accepted, doubtful, send
from tests.cloud.test_feed import open_feed, put_station

ROOT_KEYS = {
    *("device", "origin", "components", "availability", "availability_mode", "state_topic"),
    *("command_topic", "qos", "encoding"),
}
DEVICE_KEYS = {
    *("identifiers", "connections", "name", "manufacturer", "model", "model_id", "sw_version"),
    *("hw_version", "serial_number", "configuration_url", "suggested_area", "via_device"),
}
COMPONENT_KEYS = {
    *("platform", "unique_id", "name", "state_topic", "value_template", "unit_of_measurement"),
    *("device_class", "state_class", "entity_category", "icon", "expire_after"),
    *("json_attributes_topic", "enabled_by_default"),
}
"""The documented keys."""


def check(topic: str, message: dict[str, Any], prefix: str) -> None:
    """Check a message as Home Assistant does before it takes it."""
    assert re.fullmatch(rf"{re.escape(prefix)}/device/[a-zA-Z0-9_-]+/config", topic)
    assert set(message) <= ROOT_KEYS
    assert set(message["device"]) <= DEVICE_KEYS
    assert message["device"]["identifiers"]
    assert message["origin"]["name"]
    for one in message["components"].values():
        assert set(one) <= COMPONENT_KEYS
        assert one["platform"] in {"sensor", "binary_sensor"}
        assert one["unique_id"]
    text = json.dumps(message)
    assert len(text) < 20_000


def test_devices_have_the_documented_keys() -> None:
    found = discovery("shop", {"left": "1.2.3", "right-2": ""})
    assert len(found) == 3
    for topic, message in found.items():
        check(topic, message, discovery_prefix("shop"))
    identifiers = [
        one["unique_id"] for each in found.values() for one in each["components"].values()
    ]
    assert len(set(identifiers)) == len(identifiers) == 7
    assert {each["device"].get("via_device") for each in found.values()} == {
        None,
        "cardmint_shop",
    }


class Home:
    """A stand-in for Home Assistant: it hears what is retained, and renders states from it."""

    def __init__(self, port: int) -> None:
        self.heard: dict[str, bytes] = {}
        self._news: queue.Queue[None] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe("cardmint/v1/shop/feed/#", 1)
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.heard[message.topic] = bytes(message.payload)
        self._news.put(None)

    def states(self) -> dict[str, str]:
        """Return each entity's state as its template renders it."""
        found = {}
        prefix = discovery_prefix("shop")
        for topic, payload in [*self.heard.items()]:
            if topic.startswith(prefix):
                device = json.loads(payload)
                check(topic, device, prefix)
                state = self.heard.get(device["state_topic"])
                for one in device["components"].values() if state else ():
                    template = Environment(autoescape=False).from_string(one["value_template"])
                    found[one["unique_id"]] = template.render(value_json=json.loads(state or b""))
        return found

    async def until(self, **states: str) -> None:
        async with asyncio.timeout(60):
            while not states.items() <= self.states().items():  # noqa: ASYNC110  # paho has threads
                await asyncio.sleep(0.05)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.integration
async def test_whatever_starts_first_every_state_is_there(
    pool: Pool, worker: Worker, broker: LocalBroker
) -> None:
    first = Home(broker.port)
    await open_feed(pool)
    await put_station(pool, online=True)
    await send(pool, accepted(), accepted(), doubtful())
    there = {
        "cardmint_shop_cards": "2",
        "cardmint_shop_reviews": "1",
        "cardmint_shop_stations": "1",
        "cardmint_shop_left_online": "ON",
    }
    await first.until(**there)
    later = Home(broker.port)  # As after a restart: it has what is retained.
    await later.until(**there)
    await put_station(pool, online=False)
    for home in (first, later):
        await home.until(cardmint_shop_left_online="OFF", cardmint_shop_stations="0")
        home.close()
