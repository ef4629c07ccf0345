"""A broker that drops, stalls, lies or limits.

Each event arrives once and in order, and the log has the reason.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.edge.kit.agent import ForwardingAgent
from tests.edge.kit.certificates import make_certificates
from tests.edge.kit.faulty_broker import FaultyBroker, Mood
from tests.edge.kit.scans import NOW, STAMP, scan_of
from tests.edge.kit.waiting import until
from tests.edge.kit.worker import CloudWorker

from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import free_port
from cardmint_contracts.settings import BrokerSettings

pytestmark = pytest.mark.integration


@contextmanager
def running(folder: Path, broker: BrokerSettings) -> Iterator[ForwardingAgent]:
    agent = ForwardingAgent(folder, broker)
    try:
        yield agent
    finally:
        agent.stop()


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    """Ends what a test started, even if the test fails."""
    with ExitStack() as stack:
        yield stack


def listening(ends: ExitStack, port: int) -> CloudWorker:
    worker = CloudWorker(port)
    ends.callback(worker.close)
    return worker


def started(ends: ExitStack, folder: Path, port: int | None = None, extra: str = "") -> LocalBroker:
    real = LocalBroker(folder, port=port, kind="mosquitto", extra=extra)
    ends.callback(real.kill)
    return real.start()


def record(agent: ForwardingAgent, count: int, first: int = 1) -> list[UUID]:
    return [
        agent.outbox.record(scan_of(number), STAMP).scan.scan
        for number in range(first, first + count)
    ]


def drained(agent: ForwardingAgent) -> Callable[[], bool]:
    return lambda: agent.queued == 0


@pytest.mark.parametrize(
    ("mood", "says"),
    [("drop", "no connection"), ("garbage", "no connection"), ("slow", ""), ("silent", "")],
)
def test_a_broker_in_a_bad_mood_loses_nothing(
    tmp_path: Path, broker: LocalBroker, worker: CloudWorker, mood: Mood, says: str
) -> None:
    with FaultyBroker.before(broker.port) as faulty, capture_logs() as logs:
        faulty.mood = mood
        with running(tmp_path, BrokerSettings(port=faulty.port)) as agent:
            wanted = record(agent, 60)
            until(lambda: faulty.taken >= 2 or drained(agent)())
            if mood != "slow":
                assert worker.scans == []
                faulty.mood = "pass"
            until(drained(agent))
    assert worker.scans == wanted
    assert not says or any(says in entry["event"] for entry in logs)


def test_a_connection_that_goes_dead_is_left(
    tmp_path: Path, broker: LocalBroker, worker: CloudWorker
) -> None:
    with (
        FaultyBroker.before(broker.port) as faulty,
        capture_logs(),
        running(tmp_path, BrokerSettings(port=faulty.port)) as agent,
    ):
        wanted = record(agent, 10)
        until(drained(agent))
        faulty.mood = "silent"  # no packet comes through any more, and nobody says so
        wanted += record(agent, 10, first=11)
        until(lambda: faulty.taken >= 2)
        faulty.mood = "pass"
        until(drained(agent))
    assert worker.scans == wanted


def test_a_cable_that_is_pulled_again_and_again(
    tmp_path: Path, broker: LocalBroker, worker: CloudWorker
) -> None:
    with (
        FaultyBroker.before(broker.port) as faulty,
        capture_logs(),
        running(tmp_path, BrokerSettings(port=faulty.port)) as agent,
    ):
        wanted = []
        for round_ in range(5):
            wanted += record(agent, 80, first=1 + 80 * round_)
            faulty.hang_up()
        until(drained(agent))
    assert worker.scans == wanted


# paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
def test_a_wrong_certificate_is_said_and_the_right_one_is_taken(
    tmp_path: Path, ends: ExitStack
) -> None:
    ours, theirs = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "theirs")
    plain, port = free_port(), free_port()

    def secured(by: Path) -> LocalBroker:
        lines = f"user root\nlistener {plain} 127.0.0.1\nlistener {port} 127.0.0.1\n"
        lines += f"certfile {by / 'cert.pem'}\nkeyfile {by / 'key.pem'}\n"
        return started(ends, tmp_path / by.name / "broker", extra=lines)

    wrong = secured(theirs)
    settings = BrokerSettings(port=port, tls=True, ca_file=ours / "ca.pem")
    with capture_logs() as logs, running(tmp_path, settings) as agent:
        wanted = record(agent, 5)
        until(lambda: any("certificate" in str(entry.get("reason")).lower() for entry in logs))
        wrong.kill()
        secured(ours)
        worker = listening(ends, plain)
        until(drained(agent))
    assert worker.scans == wanted


def test_small_packets_carry_small_batches(tmp_path: Path, ends: ExitStack) -> None:
    real = started(ends, tmp_path / "broker", extra="max_packet_size 2500\n")
    worker = listening(ends, real.port)
    with capture_logs(), running(tmp_path, BrokerSettings(port=real.port)) as agent:
        wanted = record(agent, 60)
        until(drained(agent))
    assert worker.scans == wanted
    assert max(int(one["last"]) - int(one["first"]) for one in worker.properties) < 30, (
        "batches of a few events each"
    )


def test_packets_too_small_for_any_event_are_said(tmp_path: Path, ends: ExitStack) -> None:
    port = free_port()
    real = started(ends, tmp_path / "small", port, "max_packet_size 1100\n")
    with capture_logs() as logs, running(tmp_path, BrokerSettings(port=port)) as agent:
        wanted = record(agent, 3)
        until(lambda: any("maximum packet size" in str(entry.get("reason")) for entry in logs))
        real.kill()
        started(ends, tmp_path / "large", port)
        worker = listening(ends, port)
        until(drained(agent))
    assert worker.scans == wanted


def test_a_broker_that_comes_late(tmp_path: Path, ends: ExitStack) -> None:
    port = free_port()
    with capture_logs() as logs, running(tmp_path, BrokerSettings(port=port)) as agent:
        wanted = record(agent, 20)
        until(lambda: any("refused" in str(entry.get("reason")) for entry in logs))
        started(ends, tmp_path / "broker", port)
        worker = listening(ends, port)
        until(drained(agent))
    assert worker.scans == wanted


def test_a_clock_that_jumps_years_keeps_the_order(
    tmp_path: Path, broker: LocalBroker, worker: CloudWorker
) -> None:
    year = timedelta(days=365)
    jumps = [NOW, NOW - year, NOW + year, NOW - year, NOW]
    with capture_logs(), running(tmp_path, BrokerSettings(port=broker.port)) as agent:
        wanted = []
        for number in range(1, 61):
            stamp = replace(STAMP, time=jumps[number % len(jumps)], monotonic_ms=number)
            wanted.append(agent.outbox.record(scan_of(number), stamp).scan.scan)
        assert agent.outbox.oldest_unsent() is not None
        until(drained(agent))
        assert [line.scan.scan for line in agent.outbox.recent_scans(100)] == wanted[::-1]
    assert worker.scans == wanted
