"""The agent as a process: it sends everything, and a kill loses and doubles nothing."""

import hashlib
import json
import os
import random
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from tests.edge.kit.station import AGENT, ImageEndpointStub, config_of, lines, start
from tests.edge.kit.waiting import until
from tests.edge.kit.worker import CloudWorker

from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import free_port
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_lab.simulator import SimulatedCards

pytestmark = pytest.mark.integration


@pytest.fixture
def pack(fictional: Path) -> Path:
    return fictional / "pack.sqlite"


@pytest.fixture
def image_endpoint() -> Iterator[str]:
    with ImageEndpointStub.served() as url:
        yield url


def test_every_card_arrives_and_the_agent_ends(
    tmp_path: Path, pack: Path, broker: LocalBroker, worker: CloudWorker, image_endpoint: str
) -> None:
    config = config_of(tmp_path, pack, broker.port, cloud=image_endpoint)
    log = tmp_path / "log"
    assert start(config, log, SimulatedCards(count=12), "--exit-when-done").wait(120) == 0, (
        log.read_text()
    )
    cards = lines(log)
    assert [str(scan) for scan in worker.scans] == [card["scan"] for card in cards]
    assert [card["sequence"] for card in cards] == list(range(1, 13))
    assert not worker.states[-1].online
    assert worker.healths[0].camera == "folder"

    printed = subprocess.run(
        [*AGENT, "outbox", "look", "--config", str(config), "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    state = json.loads(printed.stdout)
    assert (state["queued"], state["acknowledged"], state["scanned"], state["epoch"]) == (
        0,
        12,
        12,
        1,
    )
    assert (state["images_waiting"], state["images_parked"], len(ImageEndpointStub.stored)) == (
        0,
        0,
        12,
    )
    for path, body in ImageEndpointStub.stored.items():
        where, _, item = path.partition("?item=")
        assert where == f"/api/v1/shop/images/{hashlib.sha256(body).hexdigest()}"
        assert UUID(item).version
    printed = subprocess.run(
        [*AGENT, "outbox", "look", "--config", str(config)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "oldest           none" in printed.stdout


def _reached_or_ended(agent: subprocess.Popen[bytes], log: Path, cards: int) -> bool:
    return len(lines(log)) >= cards or agent.poll() is not None


def test_killed_at_any_moment_each_card_counts_once(
    tmp_path: Path, pack: Path, broker: LocalBroker, worker: CloudWorker
) -> None:
    kills = int(os.environ.get("CARDMINT_KILLS", "12"))  # `make kills` does 300
    count = 3 * kills
    config, cards = config_of(tmp_path, pack, broker.port), SimulatedCards(count=count)
    log = tmp_path / "log"
    log.touch()
    draw = random.Random(7)
    for _ in range(kills):
        agent = start(config, log, cards, "--exit-when-done")
        more = draw.randint(0, 3)
        wanted = len(lines(log)) + more
        try:
            until(partial(_reached_or_ended, agent, log, wanted), 300)
            # With none more it dies while it starts.
            time.sleep(draw.uniform(0, 0.15 if more else 1.5))
        finally:
            agent.kill()
            agent.wait()
    assert start(config, log, cards, "--exit-when-done").wait(120 + count) == 0, log.read_text()

    logged = lines(log)
    origins = [entry["origin"] for entry in logged]
    assert len(set(origins)) == len(origins), "a card was counted twice"
    arrived = [str(scan) for scan in worker.scans]
    assert len(set(arrived)) == len(arrived) == count
    assert {entry["scan"] for entry in logged} <= set(arrived)
    outbox = Outbox(Database.open_read_only(tmp_path / "data" / "outbox.db"))
    assert outbox.counters.scanned == count
    assert outbox.counters.epoch <= kills + 1
    assert list(worker.ingest.watermarks.values()) == [count]
    outbox.close()
    print(f"\n{kills} kills over {count} cards: each there once")


def test_a_stop_is_graceful_and_short(tmp_path: Path, pack: Path) -> None:
    port = free_port()
    config = config_of(tmp_path, pack, free_port(), page_port=port)
    log = tmp_path / "log"
    agent = start(config, log, SimulatedCards(per_minute=600))
    until(lambda: (log.exists() and len(lines(log)) >= 3) or agent.poll() is not None)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/state") as answer:
        state = json.load(answer)
    assert state["queued"] >= 3
    assert not state["connected"]
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(8) == 0, log.read_text()
    outbox = Outbox.open(tmp_path / "data" / "outbox.db")
    assert outbox.stream_state.last == len(lines(log))
    outbox.close()


def test_what_was_not_sent_is_said(tmp_path: Path, pack: Path) -> None:
    config = config_of(tmp_path, pack, free_port())
    log = tmp_path / "log"
    assert (
        start(
            config, log, SimulatedCards(count=1), "--exit-when-done", "--drain-timeout", "0.1"
        ).wait(60)
        == 1
    )
    assert "cardmint-lab: not everything was sent; nothing is lost" in log.read_text()


def test_a_wrong_setting_is_one_line(tmp_path: Path, pack: Path) -> None:
    config = config_of(tmp_path, pack, 1883, 'type = "replay"\npath = "none"')
    command = [*AGENT, "run", "--config", str(config)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("cardmint-edge: ")
    assert ended.stderr.count("\n") == 1
