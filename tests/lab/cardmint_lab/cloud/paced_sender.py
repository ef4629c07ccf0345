"""One station that sends one event a message at a steady pace, with the times to receipt."""

import threading
import time
from collections.abc import Sequence

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_cloud.errors import StopService
from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import Envelope, encode_batch
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import decode

PATIENCE_S = 60.0


def seconds_to_receipt(
    port: int, tenant: str, events: Sequence[Envelope], *, per_second: float
) -> list[float]:
    """Send events at a pace; return the seconds from publish to receipt of each.

    Raises:
        StopService: receipts stopped coming.
    """
    station = events[0].source.rsplit("/", 1)[-1]
    sent: dict[int, float] = {}
    seconds: dict[int, float] = {}
    ready, done = threading.Event(), threading.Event()
    last = events[-1].number

    def heard(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        now = time.monotonic()
        receipt = decode(bytes(message.payload), Receipt)
        if receipt.stream != events[0].stream:
            return
        for number in [number for number in sent if number <= receipt.sequence]:
            seconds[number] = now - sent.pop(number)
        if receipt.sequence >= last:
            done.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_connect = lambda client, *_: client.subscribe(
        topics.station_topic(tenant, station, "receipt"), 1
    )
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = heard
    client.connect("127.0.0.1", port, clean_start=True)
    client.loop_start()
    try:
        if not ready.wait(20):
            raise StopService(f"the broker at 127.0.0.1:{port} does not answer")
        began = time.monotonic()
        for place, event in enumerate(events):
            time.sleep(max(0.0, began + place / per_second - time.monotonic()))
            payload, content_type = encode_batch([event])
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = content_type
            claim = Claim(event.stream, event.number, event.number)
            properties.UserProperty = claim.properties()
            sent[event.number] = time.monotonic()
            client.publish(
                topics.station_topic(tenant, station, "events"),
                payload,
                qos=1,
                properties=properties,
            )
        if not done.wait(PATIENCE_S):
            raise StopService(
                f"{len(sent)} of {len(events)} events were not receipted within {PATIENCE_S:.0f} s"
            )
    finally:
        client.disconnect()
        client.loop_stop()
    return list(seconds.values())
