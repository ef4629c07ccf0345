"""Real brokers as child processes on free ports: start, kill with SIGKILL, start again on the same port."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

Kind = Literal["mosquitto", "iotcore"]

IOTCORE = """
id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class RealBroker:
    """One broker on one port. `extra` are further lines of mosquitto's configuration."""

    def __init__(self, kind: Kind, folder: Path, extra: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        config = folder / f"{kind}-{self.port}.conf"
        if kind == "mosquitto":
            user = "user root\n" if os.getuid() == 0 else ""  # else it drops to a user that may not read the folder
            config.write_text(f"listener {self.port} 127.0.0.1\n{user}{extra}")
            self._command = ["mosquitto", "-c", str(config)]
        else:
            config = config.with_suffix(".toml")
            config.write_text(IOTCORE.format(port=self.port))
            self._command = [sys.executable, "-m", "iotcore._serve", json.dumps({"config_path": str(config)})]

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self._process.poll() is None, f"{self._command[0]} ended with {self._process.returncode}"
                assert time.monotonic() < deadline, f"{self._command[0]} does not listen on {self.port}"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None
