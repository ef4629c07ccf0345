"""The broker's users on one machine, in mosquitto's own files: passwords and access rules."""

import base64
import fcntl
import hashlib
import os
import secrets
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
    """Users in `folder`: `passwords` has their hashes, `rules.acl` their rights."""

    def __init__(self, folder: Path) -> None:
        self.passwords = folder / "passwords"
        self.rules = folder / "rules.acl"
        self._lock = folder / "lock"

    def set_password(self, user: str, password: str) -> None:
        """Add a user, or change the password of one; the rules follow."""
        with self._lock.open("a") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)  # Two stations that are added at once both stay.
            lines = {**self._lines(), user: _hashed(password)}
            stations = sorted(name for name in lines if name != CLOUD)
            rules = mosquitto_rules(stations=stations, readers=(), cloud=CLOUD)
            write_text(self.rules, f"{rules}\n", mode=0o640)
            text = "".join(f"{name}:{line}\n" for name, line in lines.items())
            write_text(self.passwords, text, mode=0o640)

    def add_station(self, tenant: str, station: str) -> tuple[str, str]:
        """Add a station, or give one that is there a new password; return user and password.

        Raises:
            BadTopic: tenant or station has no valid name.
        """
        user, password = user_name(tenant, station), new_password()
        self.set_password(user, password)
        return user, password

    @property
    def stations(self) -> list[str]:
        """The users that are stations."""
        return sorted(name for name in self._lines() if name != CLOUD)

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
