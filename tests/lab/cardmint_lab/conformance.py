"""`conformance subscriber`: whether a deployment gives a program what docs/feed.md promises.

It changes nothing: it reads, asks for replays, and tries what its login must not be able to do.
"""

import json
import queue
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cardmint_contracts import topics
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.errors import ContractError
from cardmint_contracts.feed import (
    FEED_TYPES,
    NEWEST,
    FeedCounters,
    FeedEvent,
    FeedStation,
    ReplayRefusal,
)
from cardmint_contracts.wire import decode

ASK_AGAIN = 3
"""How often a request is made that nobody answers."""

PAGE = 50
FAR = 2**62
"""A number that no feed has reached."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subscriber:
    """A reader's login at a broker, and how long an answer may take."""

    host: str
    port: int
    tenant: str
    reader: str
    password: str = ""
    tls: bool = False
    wait_s: float = 5.0


class Unmet(Exception):
    """What the deployment does not do."""


class _Program:
    def __init__(self, who: Subscriber) -> None:
        self.who = who
        self.heard: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self._connected: queue.Queue[ReasonCode] = queue.Queue()
        self._granted: queue.Queue[list[ReasonCode]] = queue.Queue()
        self._taken: queue.Queue[ReasonCode] = queue.Queue()
        user = f"{who.tenant}/{who.reader}"
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, user, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        if who.password:
            self.client.username_pw_set(user, who.password)
        if who.tls:
            self.client.tls_set_context(ssl.create_default_context())
        self.client.on_connect = lambda _c, _d, _f, code, _p: self._connected.put(code)
        self.client.on_subscribe = lambda _c, _d, _m, codes, _p: self._granted.put(codes)
        self.client.on_publish = lambda _c, _d, _m, code, _p: self._taken.put(code)
        self.client.on_message = lambda _c, _d, message: self.heard.put(message)

    def connect(self) -> str:
        try:
            self.client.connect(self.who.host, self.who.port)
        except OSError as error:
            raise Unmet(f"{self.who.host}:{self.who.port}: {error}") from None
        self.client.loop_start()
        code = self._next(self._connected, "nothing answers a CONNECT of MQTT 5")
        if code.is_failure:
            raise Unmet(f"the broker refuses the login: {code}")
        return str(code)

    def subscribe(self) -> str:
        self.client.subscribe([(topics.feed_filter(self.who.tenant), 1)])
        codes = self._next(self._granted, "no SUBACK")
        if any(code.is_failure for code in codes):
            raise Unmet(f"the feed may not be read: {codes[0]}")
        return str(codes[0])

    def publish(self, topic: str, payload: bytes = b"x", **said: Any) -> ReasonCode:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        for name, value in said.items():
            setattr(properties, name, value)
        self.client.publish(topic, payload, qos=1, properties=properties)
        code: ReasonCode = self._next(self._taken, f"no PUBACK for {topic}")
        return code

    def message(self, fits: Callable[[mqtt.MQTTMessage], bool], what: str) -> mqtt.MQTTMessage:
        end = time.monotonic() + self.who.wait_s
        while (left := end - time.monotonic()) > 0:
            try:
                message = self.heard.get(timeout=left)
            except queue.Empty:
                break
            if fits(message):
                return message
        raise Unmet(what)

    def replay(self, **request: Any) -> mqtt.MQTTMessage:
        """Ask until somebody answers; return the answer's last message."""
        who, tag = self.who, uuid4().bytes
        answer = topics.replay_answer_topic(who.tenant, who.reader)
        raw = request.pop("raw", None)
        where = request.pop("where", answer)
        payload = json.dumps(request).encode() if raw is None else raw

        def last(message: mqtt.MQTTMessage) -> bool:
            said: Any = message.properties
            if message.topic != answer or getattr(said, "CorrelationData", b"") != tag:
                return False
            ended = NEWEST in dict(getattr(said, "UserProperty", ()))
            return ended or getattr(said, "ContentType", "") != BATCH

        for _ in range(ASK_AGAIN):
            code = self.publish(
                topics.replay_topic(who.tenant, who.reader),
                payload,
                ResponseTopic=where,
                CorrelationData=tag,
            )
            if code.is_failure:
                raise Unmet(f"the broker refuses the request: {code}")
            try:
                return self.message(last, "")
            except Unmet:
                continue
        raise Unmet("nobody answers a request for a replay: does a worker run?")

    def refusal(self, **request: Any) -> ReplayRefusal:
        payload = bytes(self.replay(**request).payload)
        if payload.startswith(b"["):
            raise Unmet(f"a request that cannot be met is answered with {payload[:60]!r}")
        return decode(payload, ReplayRefusal)

    def _next(self, source: "queue.Queue[Any]", otherwise: str) -> Any:
        try:
            return source.get(timeout=self.who.wait_s)
        except queue.Empty:
            raise Unmet(otherwise) from None


def _counters(program: _Program) -> str:
    topic = topics.feed_counters_topic(program.who.tenant)
    message = program.message(lambda one: one.topic == topic, f"{topic}: nothing is retained")
    counters = decode(bytes(message.payload), FeedCounters)
    return f"{counters.cards} cards, {counters.reviews} questions, sequence {counters.sequence}"


def _events(program: _Program) -> str:
    kept = program.refusal(first=FAR)
    if kept.reason == "no-feed":
        raise Unmet("the feed was never opened: cardmint-cloud feed open")
    if kept.reason != "never-was" or bool(kept.newest) != bool(kept.oldest):
        raise Unmet(f"a number that never was is refused as {kept.reason}, {kept.detail}")
    if not kept.newest:
        return "none yet"
    first = max(kept.oldest, kept.newest - PAGE + 1)
    message = program.replay(first=first, limit=PAGE)
    events = decode(bytes(message.payload), list[FeedEvent])
    numbers = [event.number for event in events]
    if numbers != [*range(numbers[0] if numbers else first, kept.newest + 1)]:
        raise Unmet(f"the numbers from {first} on have gaps: {numbers}")
    for event in events:
        kind = FEED_TYPES.get(event.type)
        if kind is None or event.id != f"{event.stream}/{event.number}":
            raise Unmet(f"event {event.number}: type {event.type}, id {event.id}")
        decode(bytes(event.data), kind.data)
    return f"{len(events)} of {kept.oldest} to {kept.newest}, in order"


def _refusals(program: _Program) -> str:
    other = topics.replay_answer_topic(program.who.tenant, f"{program.who.reader}-x")
    for reason, request in (
        ("unreadable", {"raw": b"{"}),
        ("unreadable", {"first": 0}),
        ("wrong-place", {"first": 1, "where": other}),
        ("other-stream", {"first": 1, "stream": str(uuid4())}),
    ):
        found = program.refusal(**request)
        if found.reason != reason:
            raise Unmet(f"{request}: refused as {found.reason}, not {reason}")
    return "unreadable, wrong-place, other-stream"


def _forbidden(program: _Program) -> str:
    tenant = program.who.tenant
    tried = (
        topics.feed_topic(tenant, "inventory/added"),
        topics.feed_counters_topic(tenant),
        topics.replay_topic(tenant, f"{program.who.reader}-x"),
        topics.station_topic(tenant, "no-such-station", "receipt"),
    )
    for topic in tried:
        # Empty: where it is not forbidden, it changes nothing that anybody reads.
        if not program.publish(topic, b"").is_failure:
            raise Unmet(f"a reader may publish on {topic}: the broker has no rules")
    return f"{len(tried)} topics"


def _stations(program: _Program) -> str:
    prefix = topics.feed_topic(program.who.tenant, "now/stations/")
    program.subscribe()  # Retained messages come again.
    found = {}
    try:
        while True:
            message = program.message(lambda one: one.topic.startswith(prefix), "")
            found[message.topic] = decode(bytes(message.payload), FeedStation).station
    except Unmet:
        return ", ".join(sorted(found.values())) or "none yet"


CHECKS: tuple[tuple[str, Callable[[_Program], str]], ...] = (
    ("connects with MQTT 5", _Program.connect),
    ("may read the feed", _Program.subscribe),
    ("counts are retained", _counters),
    ("events come again", _events),
    ("what cannot be met is refused", _refusals),
    ("stations are retained", _stations),
    ("may publish nothing else", _forbidden),
)


@contextmanager
def _program(who: Subscriber) -> Iterator[_Program]:
    program = _Program(who)
    try:
        yield program
    finally:
        program.client.disconnect()
        program.client.loop_stop()


def run(who: Subscriber, say: Callable[[str], None]) -> bool:
    """Check a deployment, a line for each check; return whether all are met.

    After a check that the others need, those are left out.
    """
    met = True
    with _program(who) as program:
        for number, (what, check) in enumerate(CHECKS):
            try:
                found = check(program)
            except (Unmet, ContractError) as unmet:
                say(f"FAILS  {what}: {unmet}")
                met = False
                if number < 2:
                    break
            else:
                say(f"ok     {what}: {found}")
    return met
