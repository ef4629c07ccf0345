"""A small cloud at the other end of a real broker."""

from typing import Any
from uuid import UUID

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from tests.edge.kit.ingest import ReferenceIngest

from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import decode_batch
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import decode, encode


class CloudWorker:
    """A small ingest over a real broker: it commits to memory, then publishes the receipt."""

    def __init__(self, port: int) -> None:
        self.ingest = ReferenceIngest()
        self.properties: list[dict[str, str]] = []
        self.states: list[StationState] = []
        self.healths: list[StationHealth] = []
        self.deaf = False
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="worker", protocol=MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port, 15)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, 1)

    def publish_task(self, task: UUID, payload: bytes) -> None:
        self._client.publish(topics.task_topic("shop", "left", task), payload, 1, retain=True)

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe(
            [(topics.every_station(kind), 1) for kind in ("events", "state", "health")]
        )

    def _take(self, client: Client, _: Any, message: MQTTMessage) -> None:
        kind = topics.parse(message.topic).kind
        if kind == "state":
            self.states.append(decode(bytes(message.payload), StationState))
        elif kind == "health":
            self.healths.append(decode(bytes(message.payload), StationHealth))
        elif not self.deaf:
            properties: Any = message.properties
            self.properties.append(dict(properties.UserProperty))
            self._ingest(client, bytes(message.payload), properties)

    def _ingest(self, client: Client, payload: bytes, properties: Any) -> None:
        envelopes = decode_batch(payload, properties.ContentType)
        claim = Claim.read(properties.UserProperty)
        assert claim is not None
        receipt = self.ingest.take("/stations/left", envelopes, claim.before)
        client.publish(
            topics.station_topic("shop", "left", "receipt"), encode(receipt), 1, retain=True
        )

    @property
    def scans(self) -> list[UUID]:
        """The scans that are committed."""
        return self.ingest.scans
