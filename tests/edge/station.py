"""The agent as a process: its settings, its log, and the cloud's shelf of images."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

_started: list[subprocess.Popen[bytes]] = []
AGENT = [str(Path(sys.executable).with_name("cardmint-edge"))]


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

    @classmethod
    @contextmanager
    def served(cls) -> Iterator[str]:
        """Serve an empty shelf, and give its address."""
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
            thread.join()


def config_of(
    folder: Path, pack: Path, broker_port: int, camera: str, page_port: int = 0, *, beep: bool = False
) -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'[station]\ntenant = "shop"\nname = "left"\ndata = "data"\npage_port = {page_port}\n'
        f"beep = {str(beep).lower()}\n"
        f'[recognition]\npack = "{pack}"\n[broker]\nport = {broker_port}\n[camera]\n{camera}\n'
    )
    return path


def start(config: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start an agent; `end_all` ends it after the test, whatever became of that."""
    with log.open("ab") as out:
        _started.append(subprocess.Popen([*AGENT, "run", "--config", str(config), *options], stdout=out, stderr=out))
    return _started[-1]


def end_all() -> None:
    """Kill the agents that still run."""
    for agent in _started:
        agent.kill()
        agent.wait()
    _started.clear()


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
