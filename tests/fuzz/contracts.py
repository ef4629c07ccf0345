"""Targets of what crosses the broker: payloads, properties, topics and packets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import mqtt5

from cardmint_cloud.adapters.mqtt.connection import InboundMessage, MqttConnection
from cardmint_cloud.ingest.read import MqttMessage, read_message
from cardmint_contracts import control, receipts, stations, tasks, topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH, BATCH_GZIP, decode_batch, encode_batch
from cardmint_contracts.errors import ContractError
from cardmint_contracts.events import TYPES
from cardmint_contracts.settings import BrokerSettings
from cardmint_contracts.upcasters import EARLIER, decode_data
from cardmint_contracts.wire import decode, encode
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.adapters.sqlite.tasks import TaskTable
from cardmint_edge.domain.delivery.messages import (
    ControlMessage,
    ForwarderMessage,
    LinkConnected,
    OutcomeReceived,
    ReceiptReceived,
    TaskReceived,
)
from cardmint_edge.errors import EdgeError
from cardmint_edge.forward import Forwarder
from cardmint_edge.remote_commands import CommandResult, RemoteControl
from cardmint_edge.review_tasks import ReviewTasks
from tests.cloud.kit.cards import accepted, doubtful, sealed
from tests.cloud.kit.poison import POISON
from tests.edge.kit.forwarding import LIMITS, Wire
from tests.edge.kit.scans import STAMP, scan_of
from tests.edge.kit.tasks import CATALOGUE, task_of
from tests.fuzz.loops import Loop
from tests.fuzz.target import ROOT, Run, Target

TOPIC = "cardmint/v1/shop/left/events"
TASK = UUID(int=5)
LARGEST_SEED = 4096
MESSAGES: tuple[tuple[str, Callable[[bytes], object]], ...] = (
    *(
        (struct.__name__, lambda data, struct=struct: decode(data, struct))
        for struct in (
            *(receipts.Receipt, tasks.ReviewTask, tasks.ReviewOutcome, control.Command),
            *(control.CommandReply, control.DesiredConfig, control.ReportedConfig),
            *(stations.StationState, stations.StationHealth),
        )
    ),
    ("manifest", control.decode_manifest),
    *((name, lambda data, name=name: decode_data(name, data)) for name in (*TYPES, *EARLIER)),
)


def golden(pattern: str = "*") -> list[bytes]:
    """Return the golden messages of a pattern."""
    return [
        path.read_bytes().strip()
        for path in sorted((ROOT / "tests/contracts/golden").glob(f"{pattern}.json"))
    ]


@contextmanager
def open_batch(_: Path) -> Iterator[Run]:
    """Read a message as ingest does: anything is a batch, or a letter with a reason."""

    def run(data: bytes) -> None:
        kind, payload = data[:1], data[1:]
        content_type = {b"j": BATCH, b"z": BATCH_GZIP, b"n": None}.get(kind, "text/plain")
        message = MqttMessage(
            topic=TOPIC, payload=payload, content_type=content_type, claim=Claim(TASK, 1, 1)
        )
        found = read_message(message)
        assert found is not None
        try:
            envelopes = decode_batch(payload, content_type)
        except ContractError:
            return
        again, _ = encode_batch(envelopes)
        assert decode_batch(again, BATCH) == envelopes, "what is read can be written and read"

    yield run


def batch_seeds() -> list[bytes]:
    events = sealed(accepted(), doubtful())
    plain, packed = encode_batch(events)[0], encode_batch(events, compress=True)[0]
    poison = [(make(), kind) for make, kind, _ in POISON.values()]
    return [
        b"j" + plain,
        b"z" + packed,
        *((b"z" if kind == BATCH_GZIP else b"j") + sent[:LARGEST_SEED] for sent, kind in poison),
    ]


@contextmanager
def open_message(_: Path) -> Iterator[Run]:
    """Decode a message of the type that the first byte names."""

    def run(data: bytes) -> None:
        _, read = MESSAGES[(data[0] if data else 0) % len(MESSAGES)]
        read(data[1:])

    yield run


def message_seeds() -> list[bytes]:
    """Return each golden message under each type that reads it."""
    seeds = []
    for number, (_, read) in enumerate(MESSAGES):
        for body in golden():
            try:
                read(body)
            except ContractError:
                continue
            seeds.append(bytes([number]) + body)
    return seeds


@contextmanager
def open_topic(_: Path) -> Iterator[Run]:
    """Take a topic apart, and build it again where it is a station's."""

    def run(data: bytes) -> None:
        parsed = topics.parse(data.decode(errors="surrogateescape"))
        assert topics.name(parsed.tenant) == parsed.tenant
        if parsed.kind in {"events", "receipt", "state", "health"}:
            built = topics.station_topic(parsed.tenant, parsed.station, parsed.kind)
            assert built == data.decode()

    yield run


def topic_seeds() -> list[bytes]:
    ends = ("events", "receipt", f"tasks/{TASK}", f"commands/{TASK}/reply", "config/desired")
    return [f"cardmint/v1/shop/left/{end}".encode() for end in ends] + [
        b"cardmint/v1/shop/fleet/catalogue"
    ]


@contextmanager
def open_claim(_: Path) -> Iterator[Run]:
    """Read user properties, one a line with `=`."""

    def run(data: bytes) -> None:
        lines = data.decode(errors="replace").split("\n")
        claim = Claim.read([(name, value) for name, _, value in (x.partition("=") for x in lines)])
        assert claim is None or 1 <= claim.first <= claim.last < 2**63

    yield run


def claim_seeds() -> list[bytes]:
    return [f"stream={TASK}\nfirst=1\nlast=15".encode()]


class _Transport:
    """A connection that goes nowhere."""

    def __init__(self) -> None:
        self.open = True

    def write(self, _: bytes) -> None: ...

    def close(self) -> None:
        self.open = False

    abort = close

    def is_closing(self) -> bool:
        return not self.open

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, _: str, default: object = None) -> object:
        return default


@contextmanager
def open_packets(_: Path) -> Iterator[Run]:
    """Read bytes from a broker in two pieces, and what comes of them as ingest does."""
    with Loop() as loop:

        async def receive(data: bytes) -> None:
            messages: list[InboundMessage] = []
            connection = MqttConnection(1, BrokerSettings(), "fuzz", messages.append)
            transport: Any = _Transport()
            connection.connection_made(transport)
            try:
                half = len(data) // 3
                for piece in (data[:half], data[half:]):
                    if transport.open:
                        connection.data_received(piece)
                for message in messages:
                    read_message(message)
                connection.acknowledge(messages)
            finally:
                connection.connection_lost(None)
                for future in (connection.answered, connection.lost):
                    assert future.done()

        yield lambda data: loop.run(receive(data))


def packet_seeds() -> list[bytes]:
    payload, content_type = encode_batch(sealed(accepted()))
    whole = mqtt5.PublishPacket(
        TOPIC,
        payload,
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        packet_id=7,
        content_type=content_type,
        user_properties=Claim(TASK, 1, 1).properties(),
    ).write()
    small = mqtt5.PublishPacket(TOPIC, b"x", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=8).write()
    hello = mqtt5.ConnAckPacket(reason_code=mqtt5.ConnAckReasonCode.SUCCESS).write()
    rest = (mqtt5.PubAckPacket(1), mqtt5.PingRespPacket(), mqtt5.DisconnectPacket())
    granted = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]
    answers = [*(one.write() for one in rest), mqtt5.SubAckPacket(1, granted).write()]
    return [hello + whole, hello + small, hello + small + b"".join(answers), *answers]


@contextmanager
def open_station(folder: Path) -> Iterator[Run]:
    """Give a station what comes by its topics: receipts, tasks, outcomes, control messages."""
    outbox = Outbox.open(folder / "outbox.db")
    for number in range(1, 4):
        outbox.record(scan_of(number), STAMP)
    review = ReviewTasks(
        store=TaskTable(outbox.database),
        append=outbox.append,
        transaction=outbox.database.write,
        read_clock=lambda: STAMP,
        find_card=CATALOGUE.get,
    )
    wire = Wire()
    forwarder = Forwarder(
        outbox=outbox,
        link=wire,
        tasks=review,
        read_clock=StationClock(),
        source="/stations/left",
        on_receipt=lambda: None,
    )
    forwarder.post(LinkConnected(connection=1, limits=LIMITS))
    remote = RemoteControl(
        link=_Replies(),
        actions={"capture": lambda _: CommandResult(done=True, message="taken")},
        apply=lambda _: None,
        reported=lambda version, says: control.ReportedConfig(
            version=version, max_kb_per_s=0, reserve_mb=1, uploads_paused=False, says=says
        ),
        on_manifest=lambda _: None,
    )

    def run(data: bytes) -> None:
        kind, payload = data[:1], data[1:]
        inward: dict[bytes, ForwarderMessage] = {
            b"r": ReceiptReceived(payload=payload),
            b"t": TaskReceived(task=TASK, payload=payload),
            b"o": OutcomeReceived(payload=payload),
        }
        if kind in inward:
            before = outbox.stream_state
            forwarder.post(inward[kind])
            forwarder.step(0)
            assert outbox.stream_state.last == before.last
            return
        kinds = {b"c": "commands", b"d": "config/desired", b"f": "fleet/models", b"s": "fleet/sets"}
        remote.handle(
            ControlMessage(kind=kinds.get(kind, "connected"), payload=payload, command=TASK)
        )

    try:
        yield run
    finally:
        outbox.close()


class _Replies:
    def reply(self, _message: ControlMessage, _payload: bytes) -> bool:
        return True

    def report(self, _payload: bytes) -> bool:
        return True


def station_seeds() -> list[bytes]:
    patterns = {
        b"r": "receipt*",
        b"t": "task*",
        b"o": "outcome*",
        b"d": "config-desired*",
        b"s": "newest*",
    }
    found = [kind + body for kind, pattern in patterns.items() for body in golden(pattern)]
    return [
        *found,
        *(b"c" + body for body in golden("command.*")),
        *(b"f" + body for body in golden("manifest*")),
        b"t" + encode(task_of(5)),
        b"x1",
    ]


TARGETS = (
    Target(name="batches", open=open_batch, seeds=batch_seeds),
    Target(name="messages", open=open_message, seeds=message_seeds, refuses=(ContractError,)),
    Target(name="topics", open=open_topic, seeds=topic_seeds, refuses=(ContractError,)),
    Target(name="claims", open=open_claim, seeds=claim_seeds),
    Target(name="packets", open=open_packets, seeds=packet_seeds),
    Target(name="station", open=open_station, seeds=station_seeds, refuses=(EdgeError,)),
)
