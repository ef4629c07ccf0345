"""The agent as a process: drained to the last card, killed at any moment, nothing lost and nothing twice."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.edge.worker import CloudWorker, until

from cardmint_cloud.local.broker import Broker
from cardmint_cloud.local.processes import free_port
from cardmint_edge.adapters.database import Database
from cardmint_edge.adapters.outbox import Outbox

pytestmark = pytest.mark.integration

AGENT = [str(Path(sys.executable).with_name("cardmint-edge"))]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fictional")
    subprocess.run([*AGENT, "catalogue", "fictional", "--out", str(folder)], check=True, capture_output=True)
    return folder / "pack.sqlite"


class Shelf(BaseHTTPRequestHandler):
    """The cloud's image endpoint in small; the first request of all is answered 503."""

    stored: ClassVar[dict[str, bytes]] = {}
    busy: ClassVar[list[int]] = [503]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = self.busy.pop() if self.busy else 201
        if status == 201:
            self.stored[self.path] = body
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def shelf() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def config_of(folder: Path, pack: Path, broker_port: int, camera: str, page_port: int = 0) -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'[station]\ntenant = "shop"\nname = "left"\ndata = "data"\npage_port = {page_port}\n'
        f'[recognition]\npack = "{pack}"\n[broker]\nport = {broker_port}\n[camera]\n{camera}\n'
    )
    return path


def start(config: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen([*AGENT, "run", "--config", str(config), *options], stdout=out, stderr=out)


def lines(log: Path) -> list[dict[str, Any]]:
    """The log's card lines; a kill may have torn the last line of a life."""
    found = []
    for line in log.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") == "card":
            found.append(entry)
    return found


def test_every_card_arrives_and_the_agent_ends(
    tmp_path: Path, pack: Path, broker: Broker, worker: CloudWorker, shelf: ThreadingHTTPServer
) -> None:
    cloud = f'[cloud]\nurl = "http://127.0.0.1:{shelf.server_port}"'
    config = config_of(tmp_path, pack, broker.port, f'type = "simulator"\ncount = 12\n{cloud}')
    log = tmp_path / "log"
    assert start(config, log, "--exit-when-done").wait(120) == 0, log.read_text()
    cards = lines(log)
    assert [str(scan) for scan in worker.scans] == [card["scan"] for card in cards]
    assert [card["sequence"] for card in cards] == list(range(1, 13))
    assert not worker.states[-1].online
    assert worker.healths[0].camera == "simulator"

    printed = subprocess.run(
        [*AGENT, "outbox", "--config", str(config), "--json"], check=True, capture_output=True, text=True
    )
    state = json.loads(printed.stdout)
    assert (state["queued"], state["acknowledged"], state["scanned"], state["epoch"]) == (0, 12, 12, 1)
    assert (state["images_waiting"], state["images_parked"], len(Shelf.stored)) == (0, 0, 12)
    for path, body in Shelf.stored.items():
        assert path == f"/api/v1/shop/images/{hashlib.sha256(body).hexdigest()}"
    printed = subprocess.run([*AGENT, "outbox", "--config", str(config)], check=True, capture_output=True, text=True)
    assert "oldest           none" in printed.stdout


def test_killed_at_any_moment_each_card_counts_once(
    tmp_path: Path, pack: Path, broker: Broker, worker: CloudWorker
) -> None:
    count, kills = 100, 20
    config = config_of(tmp_path, pack, broker.port, f'type = "simulator"\ncount = {count}')
    log = tmp_path / "log"
    log.touch()
    draw = random.Random(7)
    for _ in range(kills):
        agent = start(config, log, "--exit-when-done")
        before = len(lines(log))
        wanted = before + draw.randint(1, 3)
        until(lambda agent=agent, wanted=wanted: len(lines(log)) >= wanted or agent.poll() is not None)  # type: ignore[misc]
        time.sleep(draw.uniform(0, 0.15))
        agent.kill()
        agent.wait()
    assert start(config, log, "--exit-when-done").wait(120) == 0, log.read_text()

    logged = lines(log)
    origins = [entry["origin"] for entry in logged]
    assert len(set(origins)) == len(origins), "a card was counted twice"
    arrived = [str(scan) for scan in worker.scans]
    assert len(set(arrived)) == len(arrived) == count
    assert {entry["scan"] for entry in logged} <= set(arrived)
    outbox = Outbox(Database.look(tmp_path / "data" / "outbox.db"))
    assert (outbox.counters.scanned, outbox.counters.epoch) == (count, kills + 1)
    assert list(worker.watermarks.values()) == [count]
    outbox.close()


def test_a_stop_is_graceful_and_short(tmp_path: Path, pack: Path) -> None:
    port = free_port()
    config = config_of(tmp_path, pack, free_port(), 'type = "simulator"\nper_minute = 600', port)
    log = tmp_path / "log"
    agent = start(config, log)
    until(lambda: (log.exists() and len(lines(log)) >= 3) or agent.poll() is not None)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/state") as answer:
        state = json.load(answer)
    assert state["queued"] >= 3
    assert not state["connected"]
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(8) == 0, log.read_text()
    outbox = Outbox.open(tmp_path / "data" / "outbox.db")
    assert outbox.mark.last == len(lines(log))
    outbox.close()


def test_what_was_not_sent_is_said(tmp_path: Path, pack: Path) -> None:
    config = config_of(tmp_path, pack, free_port(), 'type = "simulator"\ncount = 1')
    log = tmp_path / "log"
    assert start(config, log, "--exit-when-done", "--drain-timeout", "0.1").wait(60) == 1
    assert "cardmint-edge: not everything was sent; nothing is lost" in log.read_text()


@pytest.mark.parametrize("camera", ['type = "folder"\npath = "none"', 'type = "replay"\npath = "none"'])
def test_a_wrong_setting_is_one_line(tmp_path: Path, pack: Path, camera: str) -> None:
    config = config_of(tmp_path, pack, 1883, camera)
    command = [*AGENT, "run", "--config", str(config)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.startswith("cardmint-edge: ")
    assert ended.stderr.count("\n") == 1
