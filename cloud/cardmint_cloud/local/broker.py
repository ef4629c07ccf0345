"""An MQTT 5 broker on loopback: mosquitto if installed, else iotcore from its wheel."""

import getpass
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cardmint_cloud.errors import StopService
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port

BrokerKind = Literal["mosquitto", "iotcore"]

_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 2000
"""
_GUARDED = """
user {user}
per_listener_settings true
persistence false
set_tcp_nodelay true
max_queued_messages 100000
max_inflight_messages 2000
listener {port} {address}
allow_anonymous false
acl_file {rules}
password_file {passwords}
use_username_as_clientid true
listener {cloud_port} 127.0.0.1
allow_anonymous false
acl_file {rules}
password_file {passwords}
"""
_IOTCORE = """
id = 0
[router]
id = 0
max_connections = 10000
max_outgoing_packet_count = 2000
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "loopback"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 2000
dynamic_filters = true
"""
_SERVE_IOTCORE = (
    "import sys; from iotcore import Broker; Broker(config_path=sys.argv[1]).run_forever()"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerGuard:
    """Access rules and passwords in mosquitto's files, and the port where the cloud logs in.

    Stations log in at the broker's other port, on `address`, where the user name is the client id.
    """

    rules: Path
    passwords: Path
    cloud_port: int
    address: str = "127.0.0.1"


def mosquitto_path() -> str | None:
    """Return mosquitto's path; Debian installs it outside a user's PATH."""
    return shutil.which(
        "mosquitto",
        path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]),
    )


class LocalBroker:
    """One broker without storage.

    `extra` are more lines for mosquitto's configuration. With a `guard`, which mosquitto alone
    knows, nobody does anything without a right.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        kind: BrokerKind | None = None,
        extra: str = "",
        guard: BrokerGuard | None = None,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.kind: BrokerKind = kind or ("mosquitto" if mosquitto_path() else "iotcore")
        self._extra = extra
        self._guard = guard
        self._child: ChildProcess | None = None

    def start(self) -> "LocalBroker":
        """Start the broker and wait until it accepts connections.

        Raises:
            StopService: the port is taken, or the program is missing or does not start.
        """
        if accepts_connections(self.port):
            raise StopService(
                f"port {self.port} on loopback is taken; is another broker running there?"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.kind == "mosquitto":
            program = mosquitto_path()
            if program is None:
                raise StopService(
                    "mosquitto is not installed; on Debian and Ubuntu: apt install mosquitto"
                )
            config = self.folder / "mosquitto.conf"
            config.write_text(self._settings() + self._extra)
            command = [program, "-c", str(config)]
        else:
            config = self.folder / "iotcore.toml"
            config.write_text(_IOTCORE.format(port=self.port))
            command = [sys.executable, "-c", _SERVE_IOTCORE, str(config)]
        self._child = ChildProcess(
            command, self.folder / f"{self.kind}.log", stdin=subprocess.DEVNULL
        )
        self._child.wait_until(lambda: accepts_connections(self.port))
        return self

    def _settings(self) -> str:
        guard = self._guard
        if guard is None:
            return _MOSQUITTO.format(port=self.port)
        return _GUARDED.format(
            user=getpass.getuser(),
            port=self.port,
            cloud_port=guard.cloud_port,
            address=guard.address,
            rules=guard.rules,
            passwords=guard.passwords,
        )

    @property
    def running(self) -> bool:
        """Whether the broker was started and has not ended."""
        return self._child is not None and self._child.running

    def reload(self) -> None:
        """Let mosquitto read its rules and passwords again."""
        if self._child:
            os.kill(self._child.process.pid, signal.SIGHUP)

    def stop(self) -> None:
        """Stop the broker."""
        if self._child:
            self._child.stop()

    def kill(self) -> None:
        """Kill the broker at once, as a power cut would."""
        if self._child:
            self._child.kill()
