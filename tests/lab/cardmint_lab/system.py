"""The whole system on one machine as child processes.

Postgres, broker, cloud, price server and stations. The demo and the system tests start it, kill
parts of it, and start them again.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from cardmint_cloud.adapters.sealing import MasterKeys, write_master_keys
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.broker import BrokerKind, LocalBroker
from cardmint_cloud.local.postgres import LocalPostgres
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_lab.simulator import SimulatedCards

STATIONS = ("left", "right")

_STATION = """\
[station]
tenant = "{tenant}"
name = "{name}"
data = "{name}"
page_port = {page_port}

[recognition]
pack = "{pack}"
second_look = {second_look}

[camera]
{camera}

[broker]
port = {broker_port}

[cloud]
url = "http://127.0.0.1:{web_port}"
token = "{token}"
"""


_COMMAND_S = 120.0
"""Seconds that a command which ends by itself may take."""

_NO_CAMERA = 'type = "folder"\npath = "shots"'


class System:
    """Every part of CardMint in one folder, which is kept."""

    def __init__(
        self,
        folder: Path,
        *,
        pack: Path,
        tenant: str = "demo",
        broker: BrokerKind | None = None,
        accounts: bool = False,
    ) -> None:
        """With `accounts` people sign in; the caller makes the stations' `token`."""
        self.folder = folder.resolve()
        self.pack = pack.resolve()
        self.tenant = tenant
        self.second_look = True
        self.accounts = accounts
        self.token = ""
        self.postgres = LocalPostgres(self.folder / "postgres")
        self.broker = LocalBroker(self.folder / "broker", kind=broker)
        self.web_port, self.price_port = free_port(), free_port()
        self.page_ports = {name: free_port() for name in STATIONS}
        self._cameras: dict[str, str | SimulatedCards] = {}
        self._children: dict[str, ChildProcess] = {}

    @property
    def dashboard(self) -> str:
        """Address of the dashboard."""
        return f"http://127.0.0.1:{self.web_port}/"

    def log(self, name: str) -> Path:
        """Return the file that a part's output is appended to."""
        return self.folder / "logs" / f"{name}.log"

    def start_cloud(self, *, prices: bool = True) -> None:
        """Start Postgres, broker, price server, worker and dashboard, and wait for them.

        Without `prices` the caller serves the price port.
        """
        self.postgres.start()
        self.broker.start()
        self._run("migrate", ["cardmint-cloud", "migrate"])
        if self.accounts and not self.master_keys.exists():
            write_master_keys(self.master_keys, MasterKeys.new())
        for name in ("prices", "worker", "web") if prices else ("worker", "web"):
            self.start(name)

    def pid(self, name: str) -> int:
        """Return the process of a started part that is no server."""
        return self._children[name].process.pid

    def start_station(self, name: str, camera: str | SimulatedCards) -> None:
        """Start a station with camera settings (TOML) or simulated cards, and wait for its page."""
        self._cameras[name] = camera
        self.start(name)

    def start(self, name: str) -> None:
        """Start one part, or start it again."""
        port: int | None = None
        match name:
            case "broker":
                self.broker.start()
                return
            case "postgres":
                self.postgres.start()
                return
            case "prices":
                command, port = (
                    ["cardmint-lab", "stand-ins", "--port", str(self.price_port)],
                    self.price_port,
                )
            case "worker":
                command = ["cardmint-cloud", "work"]
            case "web":
                command, port = ["cardmint-cloud", "serve"], self.web_port
            case _:
                command, port = self._station(name), self.page_ports[name]
        child = ChildProcess(installed_script(command), self.log(name), env=self._environment())
        self._children[name] = child
        if port is not None:
            child.wait_until(lambda: accepts_connections(port))

    def kill(self, name: str) -> None:
        """Kill one part at once, as a power cut would."""
        match name:
            case "broker":
                self.broker.kill()
            case "postgres":
                self.postgres.kill()
            case _:
                self._children[name].kill()

    def check(self) -> None:
        """Check that every started part still runs.

        Raises:
            StopService: one ended; the message has its name and its last output.
        """
        for name, child in self._children.items():
            if not child.running:
                raise StopService(
                    f"{name} ended with code {child.code}: {child.last_words()} ({self.log(name)})"
                )

    def stop(self) -> None:
        """Stop every part, dependent ones first, even if one does not end."""
        with ExitStack() as stack:
            stack.callback(self.postgres.stop)
            stack.callback(self.broker.stop)
            for name in ("prices", "worker", "web", *STATIONS):
                if name in self._children:
                    stack.callback(self._children.pop(name).stop)

    def connected(self, name: str) -> bool:
        """Whether a station's page says that it is connected to the broker."""
        try:
            state = httpx.get(f"http://127.0.0.1:{self.page_ports[name]}/state", timeout=2).json()
        except (httpx.HTTPError, ValueError):
            return False
        return bool(state["connected"])

    def scanned(self, name: str) -> int:
        """Return how many cards a station has ever acknowledged, as its outbox counts them."""
        if not (self.folder / name).exists():
            return 0
        command = installed_script(
            ["cardmint-edge", "outbox", "look", "--config", str(self._config(name)), "--json"]
        )
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_COMMAND_S
        )
        if done.returncode:
            raise StopService(f"the outbox of {name} cannot be read: {done.stderr.strip()}")
        return int(json.loads(done.stdout)["scanned"])

    def edge(self, name: str, *words: str) -> None:
        """Run a `cardmint-edge` command.

        Raises:
            StopService: it failed; the message has its last output.
        """
        self._run(name, ["cardmint-edge", *words])

    def lab(self, name: str, *words: str) -> None:
        """Run a `cardmint-lab` command.

        Raises:
            StopService: it failed; the message has its last output.
        """
        self._run(name, ["cardmint-lab", *words])

    def cloud(self, name: str, *words: str) -> None:
        """Run a `cardmint-cloud` command.

        Raises:
            StopService: it failed; the message has its last output.
        """
        self._run(name, ["cardmint-cloud", *words])

    def _run(self, name: str, command: Sequence[str]) -> None:
        child = ChildProcess(installed_script(command), self.log(name), env=self._environment())
        try:
            in_time = child.wait(_COMMAND_S)
        finally:
            child.kill()
        if not in_time:
            raise StopService(
                f"{' '.join(command)} did not end within {_COMMAND_S:.0f} s: {child.last_words()}"
            )
        if child.code:
            raise StopService(f"{' '.join(command)} failed: {child.last_words()}")

    def _environment(self) -> dict[str, str]:
        return {
            "CARDMINT_CLOUD_TENANT": self.tenant,
            **self.postgres.environment,
            "CARDMINT_CLOUD_IMAGES": str(self.folder / "images"),
            "CARDMINT_CLOUD_ARTIFACTS": str(self.folder / "artifacts"),
            "CARDMINT_CLOUD_BROKER_PORT": str(self.broker.port),
            "CARDMINT_CLOUD_WEB_PORT": str(self.web_port),
            "CARDMINT_CLOUD_PRICES_ORDER": "tcgdex",
            "CARDMINT_CLOUD_PRICES_TCGDEX_URL": f"http://127.0.0.1:{self.price_port}/tcgdex/v2/en",
            "CARDMINT_CLOUD_PRICES_EVERY_S": "1",
            **(self._account_settings() if self.accounts else {}),
        }

    @property
    def master_keys(self) -> Path:
        """The file of the master keys that accounts need."""
        return self.folder / "master-keys"

    def _account_settings(self) -> dict[str, str]:
        return {
            "CARDMINT_CLOUD_WEB_ACCOUNTS": "true",
            "CARDMINT_CLOUD_MASTER_KEYS": str(self.master_keys),
            "CARDMINT_CLOUD_AUDIT_ANCHORS": str(self.folder / "audit-anchors.jsonl"),
        }

    def _station(self, name: str) -> list[str]:
        config, camera = ["--config", str(self._config(name))], self._cameras[name]
        if isinstance(camera, SimulatedCards):
            return ["cardmint-lab", "station", "run", *config, *camera.options()]
        return ["cardmint-edge", "run", *config]

    def _config(self, name: str) -> Path:
        camera = self._cameras.get(name, _NO_CAMERA)
        file = self.folder / f"{name}.toml"
        file.write_text(
            _STATION.format(
                tenant=self.tenant,
                name=name,
                page_port=self.page_ports[name],
                pack=self.pack,
                second_look="true" if self.second_look else "false",
                camera=_NO_CAMERA if isinstance(camera, SimulatedCards) else camera,
                broker_port=self.broker.port,
                web_port=self.web_port,
                token=self.token,
            )
        )
        return file


def installed_script(command: Sequence[str]) -> list[str]:
    """Return a command of ours, installed beside this interpreter."""
    script = Path(sys.executable).parent / command[0]
    if not os.access(script, os.X_OK):
        raise StopService(
            f"{script} is not there; cardmint-edge, cardmint-cloud and cardmint-lab must be in"
            " one environment"
        )
    return [str(script), *command[1:]]
