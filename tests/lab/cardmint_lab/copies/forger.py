"""A client that lies: without rights, with a station's, or with a stolen login of the cloud."""

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid4

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH, encode_batch, seal
from cardmint_contracts.receipts import ANOTHERS_STREAM, OTHER_CONTENT, Receipt
from cardmint_contracts.stations import StationState
from cardmint_contracts.wire import encode
from cardmint_lab.cloud.scans import make_scan
from cardmint_lab.copies.station import StationFigures

MESSAGES = 8
WAIT_S = 2.0


class Forger:
    """Publishes forged messages about a victim's stream.

    `forged` are the cards that it made up where it had a station's rights, and which may count.
    """

    def __init__(self, draw: random.Random, *, tenant: str, password: str, database: UUID) -> None:
        self.forged: set[UUID] = set()
        self.published = 0
        self._draw = draw
        self._tenant, self._password, self._database = tenant, password, database

    def attack(self, user: str, port: int, victim: str, figures: StationFigures) -> None:
        """Log in as `user`, and publish on its topics and on those of the station `victim`."""
        login = user.rpartition("/")[2]
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"f-{login}", protocol=MQTTv5)
        client.username_pw_set(user, self._password)
        connected = threading.Event()
        client.on_connect = lambda *_: connected.set()
        try:
            client.connect("127.0.0.1", port, 15)
        except OSError:
            return  # there is no broker at the moment: the attack fails
        client.loop_start()
        try:
            if connected.wait(WAIT_S):
                for _ in range(MESSAGES):
                    self._draw.choice(self._lies)(client, login, victim, figures)
                    self.published += 1
                client.disconnect()
        finally:
            client.loop_stop()

    @property
    def _lies(self) -> list[Callable[[Client, str, str, StationFigures], None]]:
        return [self._receipt, self._claim, self._events, self._birth]

    def _receipt(self, client: Client, _login: str, victim: str, figures: StationFigures) -> None:
        draw = self._draw
        receipt = Receipt(
            stream=figures.stream,
            sequence=draw.randrange(500),
            digest=f"{draw.getrandbits(256):064x}",
            database=draw.choice([self._database, uuid4()]),
            reason=draw.choice([None, ANOTHERS_STREAM, OTHER_CONTENT]),
        )
        topic = topics.station_topic(self._tenant, victim, "receipt")
        client.publish(topic, encode(receipt), 1, retain=True)

    def _claim(self, client: Client, login: str, victim: str, figures: StationFigures) -> None:
        first = self._draw.randrange(1, 200)
        for name in {login, victim}:
            self._publish(client, name, b"\x00not events", Claim(figures.stream, first, first + 99))

    def _events(self, client: Client, login: str, victim: str, figures: StationFigures) -> None:
        """Send made-up cards, in the victim's stream, in the login's name and in the victim's."""
        first = self._draw.choice([self._draw.randrange(1, 200), figures.last + 1])
        for name in sorted({login, victim}):
            scans = [UUID(int=self._draw.getrandbits(128), version=4) for _ in range(3)]
            self.forged |= set(scans)
            envelopes = [
                seal(
                    make_scan(self._draw, scan),
                    source=f"/stations/{name}",
                    time=datetime.now(UTC),
                    stream=figures.stream,
                    sequence=sequence,
                    bootid=uuid4(),
                    monotonic_ms=1,
                    clock_synced=True,
                )
                for sequence, scan in enumerate(scans, first)
            ]
            payload, _ = encode_batch(envelopes)
            self._publish(client, name, payload, Claim(figures.stream, first, first + 2))

    def _birth(self, client: Client, _login: str, victim: str, figures: StationFigures) -> None:
        state = StationState(
            online=True,
            epoch=self._draw.randrange(1000),
            bootid=uuid4(),
            stream=figures.stream,
            time=datetime.now(UTC).isoformat(),
            version="forged",
        )
        topic = topics.station_topic(self._tenant, victim, "state")
        client.publish(topic, encode(state), 1, retain=True)

    def _publish(self, client: Client, name: str, payload: bytes, claim: Claim) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = BATCH
        properties.UserProperty = claim.properties()
        topic = topics.station_topic(self._tenant, name, "events")
        client.publish(topic, payload, 1, properties=properties)
