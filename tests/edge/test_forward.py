"""Forwarding: each event arrives once and in order, whatever is lost, repeated or restarted."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from msgspec.structs import replace
from structlog.testing import capture_logs
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.forwarding import LIMITS, ForwarderBench
from tests.edge.kit.ingest import ReferenceIngest
from tests.edge.kit.scans import NOW, STAMP
from tests.edge.kit.waiting import until

from cardmint_contracts.events import StreamOpened
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationState
from cardmint_contracts.upcasters import decode_data
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.delivery.batches import StoredEvent
from cardmint_edge.domain.delivery.messages import (
    EventAppended,
    LinkConnected,
    LinkDisconnected,
    MessageDelivered,
    OutcomeReceived,
    ReceiptReceived,
    StateReceived,
    TaskReceived,
)
from cardmint_edge.domain.delivery.reason_codes import (
    login_refusal,
    missing_feature,
    refusal,
    subscription_refusal,
)
from cardmint_edge.domain.delivery.twins import ANSWER_EVERY_S, HEARD_S
from cardmint_edge.domain.delivery.window import (
    QUIET_MAX_S,
    QUIET_S,
    BrokerLimits,
    SendWindow,
    StreamState,
)
from cardmint_edge.errors import EdgeError, Retry, Stop
from cardmint_edge.forward import HEALTH_S, Forwarder


class BadWeather(RuleBasedStateMachine):
    """Loses, repeats, delays and reorders messages, and restarts parts; then all works again."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.bench = ForwarderBench(self.stack.enter_context(quick_folder()))

    @rule(count=st.integers(1, 120))
    def cards_come(self, count: int) -> None:
        with self.bench.outbox.database.write():
            self.bench.record(count)

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.bench.turn(seconds)

    @rule()
    def connect(self) -> None:
        self.bench.connect()

    @rule()
    def disconnect(self) -> None:
        self.bench.disconnect()

    @precondition(lambda self: self.bench.wire.batches)
    @rule(repeat=st.booleans(), index=st.integers(0, 30))
    def a_message_arrives(self, repeat: bool, index: int) -> None:
        batches = self.bench.wire.batches
        batch = (
            batches[0] if repeat else batches.pop(min(index, len(batches) - 1) if index > 27 else 0)
        )
        self.bench.receipts.append(self.bench.take(batch))
        self.bench.puback()

    @precondition(lambda self: self.bench.wire.batches)
    @rule()
    def a_message_is_acknowledged_and_lost(self) -> None:
        self.bench.wire.batches.pop(0)
        self.bench.puback()

    @precondition(lambda self: self.bench.receipts)
    @rule(index=st.integers(0, 30), keep=st.booleans())
    def a_receipt_arrives(self, index: int, keep: bool) -> None:
        index = min(index, len(self.bench.receipts) - 1)
        self.bench.receive(self.bench.receipts[index] if keep else self.bench.receipts.pop(index))
        self.bench.turn()

    @precondition(lambda self: self.bench.receipts)
    @rule()
    def a_receipt_is_lost(self) -> None:
        self.bench.receipts.pop(0)

    @rule()
    def a_receipt_of_another_stream(self) -> None:
        self.bench.receive(Receipt(stream=uuid4(), sequence=5, refused=9))
        self.bench.turn()

    @rule()
    def the_agent_restarts(self) -> None:
        self.bench.outbox.close()
        self.bench.start()

    def teardown(self) -> None:
        bench = self.bench
        bench.connect()
        for _ in range(100):
            bench.arrive()
            if not bench.queued:
                break
            bench.turn(QUIET_MAX_S)
        assert bench.queued == 0
        assert bench.cloud.scans == bench.scans
        bench.outbox.close()
        self.stack.close()


BadWeather.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestBadWeather = BadWeather.TestCase


@pytest.fixture
def bench() -> Iterator[ForwarderBench]:
    with quick_folder() as folder:
        bench = ForwarderBench(folder)
        yield bench
        bench.outbox.close()


def test_an_event_leaves_in_the_turn_it_came(bench: ForwarderBench) -> None:
    bench.connect()
    bench.record()
    bench.turn()
    assert [(b.first, b.last) for b in bench.wire.batches] == [(1, 1)]


def test_batches_and_the_window_are_bounded(bench: ForwarderBench) -> None:
    with bench.outbox.database.write():
        bench.record(1200)
    bench.connect(BrokerLimits(in_flight=7, payload_bytes=100_000))
    assert bench.wire.batches[-1].last == 250, (
        "birth and health take a place each until they are delivered"
    )
    for _ in range(8):
        bench.puback()
    bench.turn()
    bench.puback()
    for _ in range(30):
        bench.puback()
        bench.turn()
    assert bench.wire.batches[-1].last == 1000, "a thousand ahead of the receipt, no more"


def test_a_refusal_rewinds_once(bench: ForwarderBench) -> None:
    bench.connect()
    with bench.outbox.database.write():
        bench.record(150)
    bench.turn()
    lost = bench.wire.batches.pop(0)
    assert (lost.first, lost.last) == (1, 50)
    bench.arrive()
    assert [(b.first, b.last) for b in bench.wire.batches] == [(1, 50), (51, 100), (101, 150)]
    bench.arrive()
    assert bench.wire.batches == []
    assert bench.cloud.scans == bench.scans
    assert bench.covered


def test_silence_sends_again_and_ever_more_slowly(bench: ForwarderBench) -> None:
    bench.connect()
    bench.record()
    bench.turn()
    gaps = []
    for _ in range(7):
        bench.wire.batches.clear()
        bench.puback()
        start = bench.now
        while not bench.wire.batches:
            bench.turn(0.25)
        gaps.append(bench.now - start)
    assert gaps == [2.25, 4.5, 9.0, 18.0, 33.75, 33.75, 33.75]
    bench.arrive()
    bench.record()
    bench.turn()
    bench.wire.batches.clear()
    bench.turn(2.25)
    assert bench.wire.batches, "progress makes it patient no longer"


def test_a_broker_that_acknowledges_nothing_is_left(bench: ForwarderBench) -> None:
    bench.connect(BrokerLimits(in_flight=3, payload_bytes=100_000))
    bench.record()
    bench.turn()
    assert len(bench.wire.batches) == 1
    bench.turn(3)
    assert bench.wire.reconnects == 1


def test_news_of_an_old_connection_is_ignored(bench: ForwarderBench) -> None:
    bench.connect()
    bench.connect()
    bench.forwarder.post(LinkDisconnected(connection=1))
    bench.forwarder.post(MessageDelivered(connection=1, reason=0))
    bench.turn()
    assert bench.forwarder.connected
    bench.disconnect()
    assert "no connection" in bench.forwarder.status_text
    assert bench.tasks.heard == ["connected", "connected", "disconnected"]


def test_the_operator_reads_where_it_stands(bench: ForwarderBench) -> None:
    assert "no connection" in bench.forwarder.status_text
    bench.connect()
    assert bench.forwarder.status_text == "connected"
    assert bench.forwarder.cloud_answers
    bench.record()
    bench.turn()
    bench.forwarder.post(MessageDelivered(connection=1, reason=16))
    bench.turn()
    assert "not listening" in bench.forwarder.status_text
    bench.puback()
    bench.turn(3)
    assert "does not answer" in bench.forwarder.status_text
    assert (bench.forwarder.connected, bench.forwarder.cloud_answers) == (True, False)
    bench.arrive()
    assert bench.forwarder.status_text == "connected"
    assert bench.forwarder.cloud_answers


def test_a_broker_that_refuses_is_named_once(bench: ForwarderBench) -> None:
    bench.connect()
    with capture_logs() as logs:
        for _ in range(3):
            bench.forwarder.post(MessageDelivered(connection=1, reason=135))
        bench.turn()
    assert [entry["reason"] for entry in logs] == [135]
    assert "rights on the station's topics" in logs[0]["remedy"]
    assert "rights on the station's topics" in bench.forwarder.status_text


def test_refusals_by_reason_code() -> None:
    assert refusal(0x86) == login_refusal(0x87)
    assert "rights" in refusal(0x87).remedy
    assert login_refusal(0x97) == refusal(0x97)
    assert refusal(0x77) == refusal(0x80), "a code that the standard does not name"
    assert subscription_refusal(0x87).remedy == "let the station subscribe to its own topics"
    assert subscription_refusal(0xA2) == refusal(0xA2)
    assert missing_feature(retain=1, maximum_qos=2, wildcards=1) is None
    assert missing_feature(retain=0, maximum_qos=1, wildcards=1) == refusal(0x9A)
    assert missing_feature(retain=1, maximum_qos=0, wildcards=1) == refusal(0x9B)
    assert missing_feature(retain=1, maximum_qos=1, wildcards=0) == refusal(0xA2)


def test_a_message_that_fails_is_logged_and_the_next_ones_are_handled(
    bench: ForwarderBench,
) -> None:
    bench.tasks.fails = [KeyError("broken"), Retry("no space")]
    with capture_logs() as logs:
        for number in (1, 2, 3):
            bench.forwarder.post(TaskReceived(task=UUID(int=number), payload=b""))
        bench.connect()
        bench.turn()
    assert [entry["event"] for entry in logs] == [
        "a message failed; this is a bug",
        "a message failed",
    ]
    assert bench.forwarder.connected


def test_a_step_that_fails_is_shown_and_tried_again(bench: ForwarderBench) -> None:
    bench.connect()
    bench.tasks.fails_in_tick = True
    bench.tasks.fails = [KeyError("broken")] * 8 + [Retry("no space")] * 8
    thread = threading.Thread(target=bench.forwarder.run, daemon=True)
    with capture_logs() as logs:
        thread.start()
        until(lambda: "nothing is sent: this is a bug: KeyError" in bench.forwarder.status_text)
        until(lambda: "nothing is sent: no space" in bench.forwarder.status_text)
        until(lambda: bench.forwarder.status_text == "connected")
        bench.forwarder.stop()
        thread.join(20)
    assert not thread.is_alive()
    assert [entry["event"] for entry in logs] == [
        "forwarding failed; it tries again",
        "forwarding waits",
    ]


def test_health_every_half_minute(bench: ForwarderBench) -> None:
    bench.turn(100)
    assert bench.wire.healths == 0
    bench.connect()
    for _ in range(60):
        bench.turn(1)
    assert (bench.wire.births, bench.wire.healths) == (1, 1 + 60 / HEALTH_S)


def test_a_link_that_breaks_while_sending(bench: ForwarderBench) -> None:
    bench.record()
    bench.wire.up = False
    bench.forwarder.post(LinkConnected(connection=1, limits=LIMITS))
    bench.turn()
    assert not bench.forwarder.connected
    bench.connect()
    bench.wire.up = False
    bench.record()
    bench.turn()
    assert not bench.forwarder.connected
    bench.connect()
    bench.wire.up = False
    bench.turn(HEALTH_S)
    assert not bench.forwarder.connected


def test_an_event_too_large_for_the_broker_is_said(bench: ForwarderBench) -> None:
    bench.record()
    bench.forwarder.post(
        LinkConnected(connection=1, limits=BrokerLimits(in_flight=9, payload_bytes=100))
    )
    bench.wire.up = True
    with pytest.raises(Retry, match="raise the broker's maximum packet size"):
        bench.turn()
    bench.connect()
    bench.arrive()
    assert bench.queued == 0


def test_a_receipt_that_is_none(bench: ForwarderBench) -> None:
    with capture_logs() as logs:
        bench.forwarder.post(ReceiptReceived(payload=b"{}"))
        bench.forwarder.post(ReceiptReceived(payload=b"\xff"))
        bench.turn()
    assert [entry["reason"] for entry in logs] == ["invalid", "malformed"]


def _sent(bench: ForwarderBench, count: int) -> None:
    """Record cards, and let the cloud take them."""
    bench.record(count)
    bench.turn()
    bench.arrive()
    assert bench.queued == 0


def test_a_cloud_that_went_back_is_asked_again_and_gets_everything(bench: ForwarderBench) -> None:
    bench.connect()
    _sent(bench, 2)
    assert bench.wire.births == 2, "the second one names the database"
    backup = bench.cloud.backup()
    _sent(bench, 3)
    bench.cloud = backup
    stream = bench.outbox.stream_state.stream
    bench.receive(bench.cloud.receipt(stream))
    bench.turn()
    assert bench.outbox.stream_state.stream == stream, "one receipt may be late"
    assert bench.wire.births == 2
    bench.turn(QUIET_S)
    assert bench.wire.births == 3, "it asks by a birth"
    bench.receive(bench.cloud.receipt(stream))
    bench.turn()
    assert bench.outbox.stream_state.stream != stream
    bench.arrive()
    assert (bench.queued, bench.cloud.scans) == (0, bench.scans)


def test_a_late_receipt_is_no_cloud_that_went_back(bench: ForwarderBench) -> None:
    bench.connect()
    _sent(bench, 1)
    stream = bench.outbox.stream_state.stream
    late = bench.cloud.receipt(stream)
    _sent(bench, 1)
    bench.receive(late)
    bench.turn()
    _sent(bench, 1)
    bench.turn(QUIET_S)
    bench.receive(late)
    bench.turn(QUIET_S)
    bench.forwarder.post(ReceiptReceived(payload=encode(late), retained=True))
    bench.turn(QUIET_S)
    assert bench.outbox.stream_state.stream == stream


def test_receipts_that_come_together_cost_one_write(bench: ForwarderBench) -> None:
    bench.connect()
    stream = bench.outbox.stream_state.stream
    receipts = []
    for _ in range(3):
        bench.record()
        bench.turn()
        receipts.append(bench.take(bench.wire.batches.pop()))
    for receipt in receipts:
        bench.receive(receipt)
    bench.turn()
    assert (bench.covered, bench.queued) == (1, 0)
    assert bench.outbox.stream_state.stream == stream


def test_a_forged_receipt_removes_nothing_and_is_named_when_it_goes_on(
    bench: ForwarderBench,
) -> None:
    bench.connect()
    bench.record(3)
    for sequence in (3, 2, 70, 1):
        state = bench.outbox.stream_state
        forged = Receipt(stream=state.stream, sequence=sequence, digest="0" * 64)
        bench.receive(forged)
        bench.turn()
        assert bench.queued >= 3
    assert "somebody may forge them" in bench.forwarder.warnings[0]
    bench.arrive()
    assert (bench.queued, bench.cloud.scans) == (0, bench.scans)
    assert bench.forwarder.warnings == []


def test_a_receipt_without_a_digest_removes_nothing(bench: ForwarderBench) -> None:
    bench.connect()
    bench.record()
    bench.receive(Receipt(stream=bench.outbox.stream_state.stream, sequence=1))
    bench.turn()
    assert "upgrade the cloud" in bench.forwarder.warnings[0]
    assert bench.queued == 1


def test_the_receipts_of_another_cloud_are_named_and_remove_nothing(bench: ForwarderBench) -> None:
    bench.connect()
    _sent(bench, 1)
    own, other = bench.cloud, ReferenceIngest()
    bench.record(2)
    bench.turn()
    batches = list(bench.wire.batches)
    other.watermarks, other.digests = own.watermarks.copy(), own.digests.copy()
    bench.cloud = other
    bench.arrive()
    assert bench.queued == 2
    assert str(other.database) in bench.forwarder.warnings[0]
    nameless = replace(own.receipt(batches[0].stream), database=None)
    bench.receive(nameless)
    bench.turn()
    assert "names no database" in bench.forwarder.warnings[0]
    bench.cloud = own
    bench.turn(QUIET_MAX_S)
    bench.arrive()
    assert (bench.queued, bench.forwarder.warnings) == (0, [])


def test_a_database_that_replaces_the_one_before_gets_what_is_unsent(
    bench: ForwarderBench,
) -> None:
    bench.connect()
    _sent(bench, 2)
    old = bench.cloud.database
    bench.cloud = ReferenceIngest()
    bench.cloud.replaces = (old,)
    bench.record()
    bench.turn()
    bench.arrive()
    bench.arrive()
    assert bench.cloud.scans == bench.scans[2:]
    opened = decode_data(*next(iter(bench.cloud.events.values())))
    assert isinstance(opened, StreamOpened)
    assert (opened.reason, opened.missing, opened.missing_first, opened.missing_last) == (
        "database-replaced",
        2,
        1,
        2,
    )
    assert bench.outbox.stream_state.database == bench.cloud.database


def test_a_copy_with_another_name_goes_on_in_a_new_stream(bench: ForwarderBench) -> None:
    bench.connect()
    bench.cloud.owners[bench.outbox.stream_state.stream] = "/stations/original"
    bench.record(2)
    bench.turn()
    bench.arrive()
    bench.arrive()
    assert (bench.queued, bench.cloud.scans) == (0, bench.scans)


def test_a_new_stream_is_sent_from_its_beginning(bench: ForwarderBench) -> None:
    bench.record(2)
    bench.connect()
    stream = bench.outbox.stream_state.stream
    bench.receive(Receipt(stream=stream, sequence=70))
    bench.turn()
    assert bench.outbox.stream_state.stream != stream
    assert [(b.stream == stream, b.first, b.last) for b in bench.wire.batches] == [
        (True, 1, 2),
        (False, 1, 3),
    ]


def _state(boot: int, *, online: bool = True) -> StateReceived:
    state = StationState(
        online=online,
        epoch=4,
        bootid=UUID(int=boot),
        stream=UUID(int=9),
        time=NOW.isoformat(),
        version="1",
    )
    return StateReceived(payload=encode(state))


def test_a_box_of_the_same_name_is_named_and_answered_now_and_then(bench: ForwarderBench) -> None:
    bench.connect()
    for message in (_state(STAMP.bootid.int), _state(77, online=False), StateReceived(payload=b"")):
        bench.forwarder.post(message)
        bench.turn()
    assert (bench.wire.births, bench.forwarder.warnings) == (1, [])
    for _ in range(2):
        bench.forwarder.post(_state(77))
        bench.turn(1)
    assert "another box has the same name" in bench.forwarder.warnings[0]
    assert bench.wire.births == 2
    bench.forwarder.post(_state(77))
    bench.turn(ANSWER_EVERY_S)
    assert bench.wire.births == 3
    bench.turn(HEARD_S + 1)
    assert bench.forwarder.warnings == []


def test_tasks_are_handed_on(bench: ForwarderBench) -> None:
    bench.forwarder.post(TaskReceived(task=UUID(int=1), payload=b"x"))
    bench.forwarder.post(OutcomeReceived(payload=b"y"))
    bench.turn()
    assert bench.tasks.heard == [(UUID(int=1), b"x"), ("ended", b"y")]


class Faulty:
    """An outbox that raises one prepared error a step. The last one ends the test."""

    def __init__(
        self, outbox: Outbox, faults: list[EdgeError | None], done: Callable[[], None]
    ) -> None:
        self._outbox = outbox
        self._faults = faults
        self._done = done
        self.events = outbox.events
        self.digest_at = outbox.digest_at
        self.remove_covered = outbox.remove_covered
        self.open_stream = outbox.open_stream
        self.broken = False

    @property
    def stream_state(self) -> StreamState:
        if self.broken:
            fault = self._faults.pop(0)
            if not self._faults:
                self._done()
            if fault is not None:
                raise fault
        return self._outbox.stream_state


def test_an_outbox_that_moved_on_meanwhile_is_read_again_in_the_next_turn(
    bench: ForwarderBench,
) -> None:
    class Late(Faulty):
        late = True

        def __init__(self) -> None:
            super().__init__(bench.outbox, [], bench.cover)
            self.events = self.none

        def none(self, first: int, count: int) -> list[StoredEvent]:
            return [] if self.late else bench.outbox.events(first, count)

    late = Late()
    forwarder = Forwarder(
        outbox=late,
        link=bench.wire,
        tasks=bench.tasks,
        source="/stations/left",
        read_clock=lambda: STAMP,
        on_receipt=bench.cover,
    )
    bench.record()
    bench.wire.up = True
    forwarder.post(LinkConnected(connection=1, limits=LIMITS))
    forwarder.step(0)
    assert bench.wire.batches == []
    late.late = False
    forwarder.step(0)
    assert len(bench.wire.batches) == 1


def test_a_fault_is_said_once_and_forwarding_goes_on(bench: ForwarderBench) -> None:
    faulty = Faulty(
        bench.outbox,
        [Stop("full"), Stop("full"), Retry("other"), None, Stop("full")],
        lambda: forwarder.stop(),  # noqa: PLW0108 - it is made below
    )
    forwarder = Forwarder(
        outbox=faulty,
        link=bench.wire,
        tasks=bench.tasks,
        source="/stations/left",
        read_clock=lambda: STAMP,
        on_receipt=bench.cover,
        retry_s=0.0,
    )
    faulty.broken = True
    forwarder.post(EventAppended())
    with capture_logs() as logs:
        forwarder.run()
    assert [entry["reason"] for entry in logs] == ["full", "other", "full"]


def test_waiting_is_as_long_as_the_next_tick(bench: ForwarderBench) -> None:
    state = SendWindow(StreamState(stream=UUID(int=1), acknowledged=0, last=1), draw=lambda: 0.0)
    assert state.seconds_to_tick(0) is None
    state.connected(LIMITS)
    assert state.next_range() == (1, 1)
    state.sent(10.0, 1)
    assert (state.seconds_to_tick(10.5), state.seconds_to_tick(20.0)) == (1.5, 0.0)
    state.disconnected()
    assert (state.seconds_to_tick(20.0), state.next_range()) == (None, None)
