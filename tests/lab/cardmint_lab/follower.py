"""A program that follows a tenant's feed: each event once and in order, gaps filled by replay."""

import threading
import time
from typing import Any
from uuid import UUID

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_contracts.feed import FeedEvent, ReplayRefusal
from cardmint_contracts.following import ASK_AGAIN_S, FeedRefused, Following
from cardmint_contracts.wire import decode


class FeedFollower:
    """Follows from the event after `last` on, until it is closed.

    `events` are those that came, without a gap; `heard_at` says when each did (seconds of
    `time.time`). `repeated` counts those that came again, `replays` the requests, and
    `out_of_order` the events that came live before one of a lower number.
    """

    def __init__(
        self,
        port: int,
        tenant: str,
        reader: str = "follower",
        *,
        host: str = "127.0.0.1",
        username: str = "",
        password: str = "",
        last: int = 0,
    ) -> None:
        self.events: list[FeedEvent] = []
        self.heard_at: list[float] = []
        self.refusals: list[ReplayRefusal] = []
        self.replays = self.out_of_order = self._live = 0
        self.following = Following(tenant, reader, last=last)
        self._reader = reader
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._login = username, password
        self.client = self._new_client()
        self._address = host, port
        self._asking = threading.Thread(target=self._ask_again, daemon=True)

    def start(self) -> "FeedFollower":
        """Connect, and go on connecting until closed."""
        self._connect()
        self._asking.start()
        return self

    def leave(self) -> None:
        """Go away, as a program that is restarted does; `back` continues."""
        self.client.disconnect()
        self.client.loop_stop()

    def back(self) -> None:
        """Come back, as a client that knows only the last number."""
        self.client = self._new_client()
        self._connect()

    def _new_client(self) -> mqtt.Client:
        username, password = self._login
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            username or f"reader-{self._reader}",
            protocol=mqtt.MQTTv5,
        )
        if username:
            client.username_pw_set(username, password)
        client.on_connect = self._connected
        client.on_message = self._heard
        client.reconnect_delay_set(1, 1)
        return client

    def _connect(self) -> None:
        self.client.connect_async(*self._address, clean_start=True)
        self.client.loop_start()

    def close(self) -> None:
        """Disconnect for good."""
        self._closed.set()
        self.leave()
        if self._asking.is_alive():
            self._asking.join()

    def wait_for(self, last: int, timeout_s: float = 30) -> bool:
        """Wait until all events up to `last` have come; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: self.last >= last, timeout_s)

    @property
    def last(self) -> int:
        """The number of the last event that came."""
        return self.following.last

    @property
    def repeated(self) -> int:
        """How many events came again."""
        return self.following.repeated

    @property
    def stream(self) -> UUID | None:
        """The feed's name; None before the first event."""
        return self.following.stream

    def ask(self, request: bytes) -> None:
        """Publish a request for a replay."""
        self.replays += 1
        said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        said.ResponseTopic = self.following.answer_topic
        said.CorrelationData = str(self.replays).encode()
        self.client.publish(self.following.request_topic, request, qos=1, properties=said)

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe([(one, 1) for one in self.following.subscriptions])
        with self._changed:
            self.following.connected()
            self._ask()

    def _heard(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        payload, said = bytes(message.payload), getattr(message.properties, "UserProperty", ())
        newest = dict(said).get("newest")
        with self._changed:
            if message.topic != self.following.answer_topic:
                number = decode(payload, FeedEvent).number
                # A number that comes again after a higher one is no disorder, but a repetition.
                self.out_of_order += self.last < number < self._live
                self._live = max(self._live, number)
            try:
                ready = self.following.take(
                    message.topic, payload, newest=int(newest) if newest else None
                )
            except FeedRefused as refused:
                self.refusals.append(refused.refusal)
            else:
                self.events += ready
                self.heard_at += [time.time()] * len(ready)
                self._ask()
            self._changed.notify_all()

    def _ask(self) -> None:
        request = self.following.request(time.monotonic())
        if request is not None:
            self.ask(request)

    def _ask_again(self) -> None:
        while not self._closed.wait(ASK_AGAIN_S / 4):
            with self._changed:
                if self.client.is_connected():
                    self._ask()
