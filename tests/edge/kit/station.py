"""The agent as a process: its settings, its log, and an image endpoint."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from cardmint_lab.simulator import SimulatedCards

_started: list[subprocess.Popen[bytes]] = []
AGENT = [str(Path(sys.executable).with_name("cardmint-edge"))]
NO_CAMERA = 'type = "folder"\npath = "shots"'
"""Camera settings that stand where the camera is simulated or never opened."""


class ImageEndpointStub(BaseHTTPRequestHandler):
    """A small image endpoint of the cloud. It answers 503 to the first request."""

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

    @classmethod
    @contextmanager
    def served(cls) -> Iterator[str]:
        """Serve an empty endpoint, and yield its address."""
        cls.stored.clear()
        cls.busy[:] = [503]
        server = ThreadingHTTPServer(("127.0.0.1", 0), cls)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(20)


def config_of(
    folder: Path,
    pack: Path,
    broker_port: int,
    camera: str = NO_CAMERA,
    page_port: int = 0,
    *,
    cloud: str = "",
    beep: bool = False,
) -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'[station]\ntenant = "shop"\nname = "left"\ndata = "data"\npage_port = {page_port}\n'
        f"beep = {str(beep).lower()}\n"
        f'[recognition]\npack = "{pack}"\n[broker]\nport = {broker_port}\n'
        f'[cloud]\nurl = "{cloud}"\n[camera]\n{camera}\n'
    )
    return path


def simulated(config: Path, cards: SimulatedCards) -> list[str]:
    """Return the command that runs the station on simulated cards."""
    lab = str(Path(sys.executable).with_name("cardmint-lab"))
    return [lab, "station", "run", "--config", str(config), *cards.options()]


def start(config: Path, log: Path, cards: SimulatedCards, *options: str) -> subprocess.Popen[bytes]:
    """Start an agent. `end_all` ends it after the test."""
    with log.open("ab") as out:
        _started.append(
            subprocess.Popen([*simulated(config, cards), *options], stdout=out, stderr=out)
        )
    return _started[-1]


def end_all() -> None:
    """Kill the agents that still run."""
    for agent in _started:
        agent.kill()
        agent.wait()
    _started.clear()


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the log's card lines. A kill may have cut the last line of a life."""
    found = []
    for line in log.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("event") == "card":
            found.append(entry)
    return found
