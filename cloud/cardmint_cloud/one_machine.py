"""The whole cloud of one shop on one machine, in one folder: `cardmint-cloud up`.

It starts Postgres, the broker, a worker and the dashboard, and starts again what ends. The folder
has everything: settings with the passwords (`cloud.toml`), data, images and logs.
"""

import asyncio
import contextlib
import fcntl
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import psutil
from sqlalchemy.engine import make_url

from cardmint_cloud import commands
from cardmint_cloud import settings as configuration
from cardmint_cloud.adapters.postgres import backup
from cardmint_cloud.adapters.sealing import MasterKeys, write_master_keys
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.errors import CloudError, StopService
from cardmint_cloud.local.broker import BrokerGuard, LocalBroker, mosquitto_path
from cardmint_cloud.local.broker_users import CLOUD, BrokerUsers, new_password
from cardmint_cloud.local.postgres import SERVICE, LocalPostgres, wheel_binaries
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_cloud.local.text_files import write_text
from cardmint_cloud.settings import LOOPBACK, CloudSettings
from cardmint_contracts import topics
from cardmint_contracts.errors import BadTopic

SETTINGS = "cloud.toml"
TENANT = "shop"
MASTER_KEYS = "master-keys"
AUDIT_ANCHORS = "audit-anchors.jsonl"
OWN = ("logs", "images", "archive", "artifacts")
"""Folders that only the user of `up` reads."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A part that ran this long is started again without a pause when it ends."""

CHECK_EVERY_S = 0.2
READY_S = 60.0
PORT_S = 5.0

_TOML = """\
# Settings of this cloud, with its passwords. Written once by `cardmint-cloud up`; yours to change.
# docs/settings-cloud.md lists every setting.
tenant = {tenant}
database = "postgresql://{service}:{service_password}@127.0.0.1:{database_port}/cardmint"
database_owner = "postgresql://cardmint:{password}@127.0.0.1:{database_port}/cardmint"
images = "images"
archive = "archive"
artifacts = "artifacts"
master_keys = "master-keys"
audit_anchors = "audit-anchors.jsonl"

[web]
port = {web_port}
accounts = true

[broker]
port = {cloud_port}
username = "{cloud}"
password = "{broker_password}"
"""


class Part(Protocol):
    """A part that runs: Postgres, the broker, or a process."""

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        ...

    def start(self) -> object:
        """Start it, and wait until it serves."""
        ...

    def stop(self) -> None:
        """Stop it in order."""
        ...


class ServiceProcess:
    """A process of ours. Its first start waits until `ready`; later ones hold nobody up."""

    def __init__(
        self,
        words: list[str],
        log: Path,
        ready: Callable[[], bool],
        environment: Mapping[str, str],
    ) -> None:
        self._words, self._log, self._ready, self._environment = words, log, ready, environment
        self._child: ChildProcess | None = None

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Start the process.

        Raises:
            StopService: it ended or did not serve in time; the message has its last output.
        """
        first = self._child is None
        self.stop()
        self._child = ChildProcess(self._words, self._log, env=self._environment)
        if first:
            self._child.wait_until(self._ready, timeout_s=READY_S)

    def stop(self) -> None:
        """Stop the process."""
        if self._child is not None:
            self._child.stop()


@dataclass(kw_only=True, slots=True)
class SupervisedPart:
    """A part, and when it is started again."""

    name: str
    part: Part
    pause_s: float = FIRST_PAUSE_S
    started_at: float = field(default_factory=time.monotonic)
    start_at: float | None = None

    def look_after(self, now: float, say: Callable[[str], None]) -> None:
        """Start the part again when it has ended and its pause is over."""
        if self.part.running:
            return
        if self.start_at is None:
            if now - self.started_at > STEADY_S:
                self.pause_s = FIRST_PAUSE_S
            self.start_at = now + self.pause_s
            say(f"{self.name} has ended; it is started again in {self.pause_s:.1f} s")
            self.pause_s = min(LONGEST_PAUSE_S, 2 * self.pause_s)
        elif now >= self.start_at:
            self.start_at = None
            self.started_at = now
            try:
                self.part.start()
                say(f"{self.name} runs again")
            except (CloudError, OSError) as error:  # A full disk, too, may have room again.
                say(f"{self.name} does not start: {error}")


class CloudFolder:
    """The folder of one cloud, made if it is missing."""

    def __init__(self, folder: Path, *, tenant: str | None = None) -> None:
        """Open the folder. Without `tenant`, a new one is of "shop".

        Raises:
            StopService: it cannot be made or used, it is another tenant's, or its settings are
                wrong.
        """
        self.path = folder.absolute()
        if not str(self.path).isprintable():
            raise StopService(f"{str(self.path)!r} has a character that no folder here may have")
        try:
            topics.name(TENANT if tenant is None else tenant)
        except BadTopic as error:
            raise StopService(f"--tenant: {error}") from None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Nobody else looks in; Postgres and broker, which may be other users, pass through.
            for part, mode in (("", 0o711), ("broker", 0o755), *((own, 0o700) for own in OWN)):
                (self.path / part).mkdir(mode, exist_ok=True)
        except OSError as error:
            raise StopService(f"{self.path} cannot be made: {error.strerror}") from None
        self.users = BrokerUsers(self.path / "broker")
        try:
            if self.settings_file.exists():
                self._name_owner()
                self._name_keys()
                self._name_own_paths()
            else:
                self._write_settings(tenant or TENANT)
            if not (self.path / MASTER_KEYS).exists() and not self.has_data:
                write_master_keys(self.path / MASTER_KEYS, MasterKeys.new())
        except OSError as error:
            raise StopService(f"{self.settings_file} cannot be written: {error.strerror}") from None
        self.settings = configuration.load(self.settings_file, {})
        if tenant not in {None, self.settings.tenant}:
            raise StopService(
                f"--tenant {tenant}: {self.path} is of the tenant {self.settings.tenant}; leave"
                " --tenant out, or choose another folder"
            )

    @property
    def settings_file(self) -> Path:
        """The settings, with the passwords."""
        return self.path / SETTINGS

    @property
    def has_data(self) -> bool:
        """Whether there is a database."""
        return (self.path / "postgres" / "data" / "PG_VERSION").exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder: one `up` at a time.

        Raises:
            StopService: another process holds it.
        """
        try:
            lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise StopService(f"{self.path} cannot be used: {error.strerror}") from None
        with lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise StopService(
                    f"another `cardmint-cloud up` runs in {self.path}; stop it first"
                ) from None
            yield

    @property
    def restoring(self) -> Path:
        """A file that is there from when a restore begins until it has ended well."""
        return self.path / "restoring"

    def check_restored(self, backup: Path | None) -> None:
        """Check that a restore of `backup`, if there is one, fits this folder; note its begin.

        Raises:
            StopService: there is a database already, or an earlier restore did not end.
        """
        if backup is None and self.restoring.exists():
            raise StopService(
                f"{self.path}: the restore into this folder failed or was cut off, and there is"
                " nothing in it yet: start again with `--restore FILE`"
            )
        if backup is None:
            return
        if not backup.is_file():
            raise StopService(f"{backup} is no file")
        if self.has_data and not self.restoring.exists():
            raise StopService(f"{self.path} has a database already; restore into a new folder")
        self.restoring.touch()

    def check_versions(self) -> None:
        """Check that this version's Postgres can open the data.

        Raises:
            StopService: another major version wrote it; the message says what to do.
        """
        if not self.has_data:
            return
        written = self.path / "postgres" / "data" / "PG_VERSION"
        program = str(wheel_binaries() / "postgres")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        ours, theirs = said.stdout.split()[-1].partition(".")[0], written.read_text().strip()
        if ours != theirs:
            raise StopService(
                f"{self.path} was written by Postgres {theirs}, and this version has {ours}: with"
                " the version before, run `cardmint-cloud backup`; then start this one in a new"
                " folder with `--restore` (docs/cloud.md)"
            )

    def _name_owner(self) -> None:
        """Tell owner and service apart in settings of a version that had one user for both."""
        text = self.settings_file.read_text()
        if re.search(r"^\s*database_owner\s*=", text, re.MULTILINE):
            return
        found = re.search(
            r'^database = "postgresql://cardmint:(?P<password>[^"@]*)(?P<where>@[^"]*)"$',
            text,
            re.MULTILINE,
        )
        if found is not None:
            service = f"postgresql://{SERVICE}:{new_password()}{found['where']}"
            owner = found[0].replace("database =", "database_owner =")
            lines = f'database = "{service}"\n{owner}'
            write_text(self.settings_file, text.replace(found[0], lines))

    def _name_keys(self) -> None:
        """Make a master key for a folder of a version that had none."""
        text = self.settings_file.read_text()
        if re.search(r"^\s*master_keys\s*=", text, re.MULTILINE):
            return
        write_master_keys(self.path / MASTER_KEYS, MasterKeys.new())
        lines = f'master_keys = "{MASTER_KEYS}"\naudit_anchors = "{AUDIT_ANCHORS}"\n'
        first_table = re.search(r"^\s*\[", text, re.MULTILINE)
        at = first_table.start() if first_table else len(text)
        write_text(self.settings_file, text[:at] + lines + "\n" + text[at:])

    def _name_own_paths(self) -> None:
        """Write the folder's own paths as relative ones in settings of a version that did not.

        Those named where the folder stood when they were written: in a copy of it, the original's.
        """
        text = self.settings_file.read_text()
        keys = re.search(rf'^master_keys = "(?P<folder>/.*)/{MASTER_KEYS}"$', text, re.MULTILINE)
        if keys is not None:
            names = f"images|archive|artifacts|{MASTER_KEYS}|{AUDIT_ANCHORS}"
            own = rf'^(\w+ = "){re.escape(keys["folder"])}/({names})"$'
            write_text(self.settings_file, re.sub(own, r'\1\2"', text, flags=re.MULTILINE))

    def _write_settings(self, tenant: str) -> None:
        password, broker_password = new_password(), new_password()
        write_text(
            self.settings_file,
            _TOML.format(
                tenant=_toml(tenant),
                password=password,
                service=SERVICE,
                service_password=new_password(),
                database_port=free_port(),
                web_port=8080 if not accepts_connections(8080) else free_port(),
                cloud_port=free_port(),
                cloud=CLOUD,
                broker_password=broker_password,
            ),
        )


def _toml(text: str) -> str:
    """Return a string as TOML writes it."""
    return json.dumps(text, ensure_ascii=False)


class Machine:
    """The parts of the cloud in one folder, and the loop that keeps them running.

    Dashboard and broker listen at `address`, the broker at `broker_port`. `say` takes lines for a
    person. `restore` is a backup that a new folder begins with.
    """

    def __init__(
        self,
        folder: CloudFolder,
        *,
        address: str,
        broker_port: int,
        say: Callable[[str], None],
        restore: Path | None = None,
    ) -> None:
        self._folder, self._say, self._restore = folder, say, restore
        self._address, self._broker_port = address, broker_port
        self._ended = threading.Event()
        self._users_at = 0.0

    def stop(self) -> None:
        """Make `run` return; safe in a signal handler."""
        self._ended.set()

    def run(self) -> None:
        """Start everything, and keep it running until `stop`.

        Raises:
            StopService: a part does not start, or the folder cannot be used.
        """
        folder, settings = self._folder, self._folder.settings
        if mosquitto_path() is None:
            raise StopService(
                "mosquitto is not installed, and only it keeps strangers out: on Debian and Ubuntu:"
                " apt install mosquitto"
            )
        with folder.locked(), ExitStack() as stack:
            folder.check_versions()
            folder.check_restored(self._restore)
            for port, what in (
                (settings.web.port, f"web.port in {folder.settings_file}"),
                (settings.broker.port, f"broker.port in {folder.settings_file}"),
                (self._broker_port, "--broker-port"),
            ):
                _wait_for_port(port, what)
            postgres = self._postgres(settings)
            try:
                # As the settings say: a password that was changed there, or files that are gone.
                folder.users.set_password(CLOUD, settings.broker.password)
            except OSError as error:
                raise StopService(f"{folder.path}/broker: {error.strerror}") from None
            self._broker = self._local_broker(settings)
            parts: list[SupervisedPart] = []

            def start(name: str, part: Part) -> None:
                stack.callback(part.stop)
                part.start()
                parts.append(SupervisedPart(name=name, part=part))

            start("Postgres", postgres)
            if self._restore is not None:
                backup.restore_backup(settings.owner, self._restore)
                folder.restoring.unlink()
            asyncio.run(commands.migrate_database(settings))
            start("the broker", self._broker)
            start("the worker", self._process("work"))
            web_port = settings.web.port
            start("the dashboard", self._process("serve", lambda: accepts_connections(web_port)))
            address = settings.web.address(self._where())
            self._say(f"the dashboard is at {address}/")
            if settings.web.accounts and not commands.has_accounts(settings):
                path = commands.invite(settings, Role.ADMIN)
                self._say("nobody has an account yet; this link makes the owner's, once, today:")
                self._say(f"  {address}{path}")
            self._say(f"stations reach the broker at {self._where()}, port {self._broker_port}")
            while not self._ended.wait(CHECK_EVERY_S):
                now = time.monotonic()
                for part in parts:
                    part.look_after(now, self._say)
                self._reload_users()

    def _where(self) -> str:
        return socket.gethostname() if self._address == "0.0.0.0" else self._address  # noqa: S104 - compared, not bound

    def _postgres(self, settings: CloudSettings) -> LocalPostgres:
        address = make_url(settings.owner)
        return LocalPostgres(
            self._folder.path / "postgres", port=address.port, password=address.password or ""
        )

    def _local_broker(self, settings: CloudSettings) -> LocalBroker:
        users = self._folder.users
        self._users_at = users.passwords.stat().st_mtime
        guard = BrokerGuard(
            rules=users.rules,
            passwords=users.passwords,
            cloud_port=settings.broker.port,
            address=self._address,
        )
        return LocalBroker(
            self._folder.path / "broker", port=self._broker_port, kind="mosquitto", guard=guard
        )

    def _reload_users(self) -> None:
        """Let the broker know the stations and readers that were added or removed."""
        passwords = self._folder.users.passwords
        changed = passwords.stat().st_mtime if passwords.exists() else self._users_at
        if changed != self._users_at and self._broker.running:
            self._users_at = changed
            self._broker.reload()
            self._say(f"stations: {', '.join(self._folder.users.stations) or 'none'}")

    def _process(self, command: str, ready: Callable[[], bool] = lambda: True) -> ServiceProcess:
        words = [
            *(str(Path(sys.executable).with_name("cardmint-cloud")), command),
            *("--config", str(self._folder.settings_file)),
        ]
        environment = {
            "CARDMINT_CLOUD_STATIONS_BROKER_USERS": str(self._folder.path / "broker"),
            "CARDMINT_CLOUD_STATIONS_BROKER_PORT": str(self._broker_port),
        }
        if self._address != LOOPBACK:
            names = (*self._folder.settings.web.hosts, *_own_names())
            environment |= {
                "CARDMINT_CLOUD_WEB_HOST": self._address,
                "CARDMINT_CLOUD_WEB_HOSTS": ",".join(dict.fromkeys(names)),
            }
        log = self._folder.path / "logs" / f"{command}.log"
        return ServiceProcess(words, log, ready, environment)


def _wait_for_port(port: int, setting: str) -> None:
    """Wait until nothing listens at a port; an `up` that was killed leaves it after two seconds.

    Raises:
        StopService: another program keeps it.
    """
    deadline = time.monotonic() + PORT_S
    while accepts_connections(port):
        if time.monotonic() > deadline:
            raise StopService(
                f"port {port} is taken by another program; end that one, or change {setting}"
            )
        time.sleep(CHECK_EVERY_S)


def _own_names() -> list[str]:
    """Return the names and addresses by which other machines may reach this one."""
    name = socket.gethostname()
    names = [name, f"{name}.local", socket.getfqdn()]
    names += [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET
    ]
    return names


def serves_others(port: int) -> bool:
    """Return whether a server listens at a port for more than this machine."""
    return any(
        one.laddr.port == port and one.status == psutil.CONN_LISTEN and one.laddr.ip != LOOPBACK
        for one in psutil.net_connections("tcp")
    )


def up(
    folder: Path,
    *,
    tenant: str | None,
    lan: bool,
    broker_port: int,
    restore: Path | None,
    say: Callable[[str], None],
) -> None:
    """Run the cloud in `folder` until SIGTERM or SIGINT.

    Raises:
        StopService: a part does not start, or the folder cannot be used.
    """
    machine = Machine(
        CloudFolder(folder, tenant=tenant),
        address="0.0.0.0" if lan else LOOPBACK,  # noqa: S104 - asked for by --lan
        broker_port=broker_port,
        say=say,
        restore=restore,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: machine.stop())
    machine.run()
