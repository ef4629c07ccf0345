"""The broker's users on one machine, in mosquitto's own files: passwords and access rules."""

import base64
import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cardmint_cloud.domain.broker_rules import mosquitto_rules
from cardmint_cloud.local.text_files import write_text
from cardmint_contracts.access import user_name

CLOUD = "cloud"
"""User of the workers."""

_ROUNDS = 20_000
_HASH_BYTES = 64
_SALT_BYTES = 12
_PASSWORD_BYTES = 18


class BrokerUsers:
    """Users in `folder`: `passwords` has their hashes, `rules.acl` their rights.

    `readers` names those that only follow a tenant's feed; the others are stations, and the cloud.
    """

    def __init__(self, folder: Path) -> None:
        self.passwords = folder / "passwords"
        self.rules = folder / "rules.acl"
        self._readers = folder / "readers"
        self._lock = folder / "lock"

    def set_password(self, user: str, password: str) -> None:
        """Add a station or the cloud, or change the password of one; the rules follow."""
        with self._locked():  # Two stations that are added at once both stay.
            lines, readers = self._lines(), self._reader_names()
            self._write({**lines, user: _hashed(password)}, readers - {user})

    def add_station(self, tenant: str, station: str) -> tuple[str, str]:
        """Add a station, or give one that is there a new password; return user and password.

        Raises:
            BadTopic: tenant or station has no valid name.
        """
        user, password = user_name(tenant, station), new_password()
        self.set_password(user, password)
        return user, password

    def add_reader(self, tenant: str, reader: str) -> str | None:
        """Add a reader, or give one that is there a new password; return the password.

        None where a station has that name.

        Raises:
            BadTopic: tenant or reader has no valid name.
        """
        user, password = user_name(tenant, reader), new_password()
        with self._locked():
            lines, readers = self._lines(), self._reader_names()
            if user in lines.keys() - readers:
                return None
            self._write({**lines, user: _hashed(password)}, readers | {user})
        return password

    def remove_reader(self, tenant: str, reader: str) -> bool:
        """Remove a reader; return whether there was one."""
        user = f"{tenant}/{reader}"
        with self._locked():
            lines, readers = self._lines(), self._reader_names()
            if user not in readers:
                return False
            kept = {name: line for name, line in lines.items() if name != user}
            self._write(kept, readers - {user})
        return True

    def readers(self, tenant: str) -> list[str]:
        """Return the names of a tenant's readers."""
        start = f"{tenant}/"
        return sorted(
            name.removeprefix(start) for name in self._reader_names() if name.startswith(start)
        )

    @property
    def stations(self) -> list[str]:
        """The users that are stations."""
        return sorted(self._lines().keys() - self._reader_names() - {CLOUD})

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            yield

    def _write(self, lines: Mapping[str, str], readers: Collection[str]) -> None:
        stations = sorted(lines.keys() - {*readers, CLOUD})
        rules = mosquitto_rules(stations=stations, readers=sorted(readers), cloud=CLOUD)
        write_text(self._readers, "".join(f"{name}\n" for name in sorted(readers)), mode=0o640)
        write_text(self.rules, f"{rules}\n", mode=0o640)
        # Last: whoever lets the broker read the files again looks at the time of this one.
        text = "".join(f"{name}:{line}\n" for name, line in lines.items())
        write_text(self.passwords, text, mode=0o640)

    def _reader_names(self) -> set[str]:
        return set(self._readers.read_text().splitlines()) if self._readers.exists() else set()

    def _lines(self) -> dict[str, str]:
        if not self.passwords.exists():
            return {}
        lines = self.passwords.read_text().splitlines()
        return {name: line for name, _, line in (line.partition(":") for line in lines)}


def new_password() -> str:
    """Return a password by chance."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _hashed(password: str) -> str:
    """Return a password's hash as mosquitto 2 stores it: `$7$rounds$salt$PBKDF2-SHA512`."""
    salt = os.urandom(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS, _HASH_BYTES)
    salt_text, digest_text = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"$7${_ROUNDS}${salt_text}${digest_text}"
