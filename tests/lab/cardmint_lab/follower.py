"""A program that follows a tenant's feed: each event once and in order, gaps filled by replay."""

import threading
import time
from typing import Any
from uuid import UUID

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from cardmint_contracts import topics
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.feed import FEED_TYPES, FeedEvent, ReplayRefusal, ReplayRequest
from cardmint_contracts.wire import decode, encode

ASK_AGAIN_S = 1.0
"""Seconds after which an answer that did not come is asked for again."""


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
        self.repeated = self.replays = self.out_of_order = 0
        self._live = 0
        self.last = last
        self._tenant, self._reader = tenant, reader
        self._ahead: dict[int, FeedEvent] = {}
        self._asked_at: float | None = None
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
    def stream(self) -> UUID | None:
        """The feed's name; None before the first event."""
        return self.events[0].stream if self.events else None

    def ask(self, first: int) -> None:
        """Ask for the events from a number on."""
        self._asked_at = time.monotonic()
        self.replays += 1
        said = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        said.ResponseTopic = topics.replay_answer_topic(self._tenant, self._reader)
        said.CorrelationData = str(first).encode()
        self.client.publish(
            topics.replay_topic(self._tenant, self._reader),
            encode(ReplayRequest(first=first)),
            qos=1,
            properties=said,
        )

    def _connected(self, client: mqtt.Client, *_: Any) -> None:
        kinds = sorted({kind.steps.split("/")[0] for kind in FEED_TYPES.values()})
        wanted = [topics.feed_topic(self._tenant, f"{kind}/+") for kind in kinds]
        wanted.append(topics.replay_answer_topic(self._tenant, self._reader))
        client.subscribe([(one, 1) for one in wanted])
        with self._changed:
            self.ask(self.last + 1)

    def _heard(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        payload = bytes(message.payload)
        with self._changed:
            if message.topic != topics.replay_answer_topic(self._tenant, self._reader):
                event = decode(payload, FeedEvent)
                # A number that comes again after a higher one is no disorder, but a repetition.
                self.out_of_order += self.last < event.number < self._live
                self._live = max(self._live, event.number)
                self._take([event])
                return
            if message.properties.ContentType != BATCH:  # type: ignore[union-attr]
                self.refusals.append(decode(payload, ReplayRefusal))
                self._asked_at = None
                self._changed.notify_all()
                return
            self._take(decode(payload, list[FeedEvent]))
            if (newest := self._newest(message)) is not None:
                self._asked_at = None
                if newest > self.last:
                    self.ask(self.last + 1)

    def _newest(self, message: mqtt.MQTTMessage) -> int | None:
        said = dict(getattr(message.properties, "UserProperty", ()))
        return int(said["newest"]) if "newest" in said else None

    def _take(self, events: list[FeedEvent]) -> None:
        now = time.time()
        for event in events:
            if event.number <= self.last or event.number in self._ahead:
                self.repeated += 1
                continue
            self._ahead[event.number] = event
            while (ready := self._ahead.pop(self.last + 1, None)) is not None:
                self.events.append(ready)
                self.heard_at.append(now)
                self.last += 1
        if self._ahead and self._asked_at is None:
            self.ask(self.last + 1)
        self._changed.notify_all()

    def _ask_again(self) -> None:
        while not self._closed.wait(ASK_AGAIN_S / 4):
            with self._changed:
                asked_at = self._asked_at
                late = asked_at is not None and time.monotonic() > asked_at + ASK_AGAIN_S
                if late and self.client.is_connected():
                    self.ask(self.last + 1)
