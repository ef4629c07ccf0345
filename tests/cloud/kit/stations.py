"""A station as the broker sees it."""

import asyncio
import queue
from typing import Any
from uuid import UUID

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_contracts import topics
from cardmint_contracts.envelope import Envelope, encode_batch
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.wire import decode
from tests.cloud.kit.cards import accepted, sealed


class StationStub:
    """A station as the broker sees it: publishes batches, hears receipts and tasks."""

    def __init__(self, port: int) -> None:
        self.receipts: queue.Queue[Receipt] = queue.Queue()
        self.tasks: queue.Queue[tuple[UUID, ReviewTask | None]] = queue.Queue()
        self.outcomes: queue.Queue[ReviewOutcome] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, "station-left", protocol=mqtt.MQTTv5)
        self.client.on_message = self._heard
        self.client.on_connect = lambda client, *_: client.subscribe(
            [
                (topics.station_topic("shop", "left", "receipt"), 1),
                (topics.station_tasks("shop", "left"), 1),
                (topics.station_outcomes("shop", "left"), 1),
            ]
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", port, clean_start=True)
        self.client.loop_start()

    def _heard(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        topic = topics.parse(message.topic)
        if topic.kind == "outcomes":
            self.outcomes.put(decode(bytes(message.payload), ReviewOutcome))
        elif topic.kind == "receipt":
            self.receipts.put(decode(bytes(message.payload), Receipt))
        elif topic.task:
            task = decode(bytes(message.payload), ReviewTask) if message.payload else None
            self.tasks.put((topic.task, task))

    def send(self, envelopes: list[Envelope], *, payload: bytes | None = None) -> None:
        body, content_type = encode_batch(envelopes)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content_type
        properties.UserProperty = [
            ("stream", str(envelopes[0].stream)),
            ("first", str(envelopes[0].number)),
            ("last", str(envelopes[-1].number)),
        ]
        topic = topics.station_topic("shop", "left", "events")
        self.client.publish(
            topic, body if payload is None else payload, qos=1, properties=properties
        )

    def say(self, kind: Any, payload: bytes) -> None:
        self.client.publish(
            topics.station_topic("shop", "left", kind), payload, qos=1, retain=kind == "state"
        )

    async def next_receipt(self) -> Receipt:
        return await asyncio.to_thread(self.receipts.get, timeout=20)

    async def receipt_for(self, sequence: int) -> Receipt:
        while (receipt := await self.next_receipt()).sequence < sequence:
            pass
        return receipt

    async def next_task(self) -> tuple[UUID, ReviewTask | None]:
        return await asyncio.to_thread(self.tasks.get, timeout=20)


async def wait_for_worker(station: StationStub) -> None:
    """Send the first event until its receipt comes: the worker may still be subscribing."""
    while station.receipts.empty():
        station.send(sealed(accepted()))
        await asyncio.sleep(0.2)
    while not station.receipts.empty():
        station.receipts.get()
