"""Encryption of personal data: AES-256-GCM by keys of persons, which master keys wrap.

A sealed value is nonce (12 bytes), ciphertext and tag; the place where it stands is authenticated
with it, so that no value can be moved to another row. Without its person's key it is noise.
"""

import base64
import binascii
import contextlib
import os
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cardmint_cloud.errors import StopService
from cardmint_cloud.local.text_files import write_text

KEY_BYTES = 32
NONCE_BYTES = 12
VARIABLE = "CARDMINT_MASTER_KEYS"


class Key:
    """A key of 256 bits that seals and opens."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._cipher = AESGCM(secret)

    @classmethod
    def new(cls) -> "Key":
        """Return a new random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def seal(self, plain: bytes, place: str) -> bytes:
        """Return what only this key opens, and only for the same `place`."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes | None:
        """Return what was sealed; None where key or place is another, or it was changed."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            return None


class MasterKeys:
    """The keys that wrap those of persons: the first is in use, later ones only open.

    Those of a file are read again when it was changed, so that a running service knows a new key.
    """

    def __init__(self, secrets_: list[bytes], file: Path | None = None) -> None:
        """Take at least one key, and the file that they come from."""
        self._file = file
        self._written = _written(file)
        self._keys = _by_name(secrets_)

    @classmethod
    def new(cls) -> "MasterKeys":
        """Return one new random key."""
        return cls([secrets.token_bytes(KEY_BYTES)])

    @property
    def current(self) -> str:
        """The name of the key in use."""
        return next(iter(self._present()))

    def __contains__(self, name: str) -> bool:
        return name in self._present()

    def wrap(self, key: Key, place: str) -> tuple[str, bytes]:
        """Return the name of the master key in use, and a person's key sealed by it."""
        name, master = next(iter(self._present().items()))
        return name, master.seal(key.secret, place)

    def unwrap(self, master: str, wrapped: bytes, place: str) -> Key:
        """Return the person's key.

        Raises:
            StopService: the master key is missing or another one.
        """
        key = self._present().get(master)
        secret = key.open(wrapped, place) if key else None
        if secret is None:
            raise StopService(missing(master))
        return Key(secret)

    def seal(self, plain: bytes, place: str) -> bytes:
        """Return what only these keys open, and only for the same `place`."""
        return next(iter(self._present().values())).seal(plain, place)

    def open(self, sealed: bytes, place: str) -> bytes | None:
        """Return what was sealed by any of these keys; None where it was not."""
        opened = (key.open(sealed, place) for key in self._present().values())
        return next((plain for plain in opened if plain is not None), None)

    def lines(self) -> str:
        """Return the keys as their file has them."""
        return "".join(
            base64.urlsafe_b64encode(key.secret).decode() + "\n" for key in self._present().values()
        )

    def with_new(self) -> "MasterKeys":
        """Return these keys below a new current one."""
        earlier = (key.secret for key in self._present().values())
        return MasterKeys([secrets.token_bytes(KEY_BYTES), *earlier])

    def _present(self) -> dict[str, Key]:
        """Return the keys by name, those of the file as it is now; as they were if it is broken."""
        written = _written(self._file)
        if self._file is not None and written is not None and written != self._written:
            with contextlib.suppress(StopService):
                self._keys = _by_name(_decoded(_text_of(str(self._file)), str(self._file)))
                self._written = written
        return self._keys


def _by_name(secrets_: list[bytes]) -> dict[str, Key]:
    return {sha256(secret).hexdigest()[:8]: Key(secret) for secret in secrets_}


def _written(file: Path | None) -> tuple[int, int, int] | None:
    """Return what changes with a file's content; None without one."""
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found else None


def missing(master: str) -> str:
    """Return what to say where a master key is not there."""
    return (
        f"personal data is encrypted with the master key {master}, which is not among those of"
        f" `master_keys` or {VARIABLE}: put it back, as it was when the data was written"
    )


def load_master_keys(file: str, environment: Mapping[str, str] = os.environ) -> MasterKeys:
    """Read the master keys from the environment, else from their file.

    Raises:
        StopService: there are none, or one is no key.
    """
    text = environment.get(VARIABLE, "").replace(",", "\n")
    if text.strip():
        return MasterKeys(_decoded(text, VARIABLE))
    return MasterKeys(_decoded(_text_of(file), file or "master_keys"), Path(file))


def _text_of(file: str) -> str:
    try:
        return Path(file).read_text() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StopService(f"{file}: the master keys cannot be read: {reason}") from None


def _decoded(text: str, where: str) -> list[bytes]:
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise StopService(
            "accounts need a master key, with which personal data is encrypted: run"
            f" `cardmint-cloud master-key make FILE`, and name FILE in `master_keys`, or set"
            f" {VARIABLE}"
        )
    try:
        decoded = [base64.b64decode(line, altchars=b"-_", validate=True) for line in found]
    except (binascii.Error, ValueError):
        decoded = []
    if not decoded or any(len(secret) != KEY_BYTES for secret in decoded):
        raise StopService(
            f"{where}: a master key is {KEY_BYTES} bytes in base64, one a line; `cardmint-cloud"
            " master-key make` writes one"
        )
    return decoded


def write_master_keys(file: Path, keys: MasterKeys) -> None:
    """Write the keys to a file that only its owner reads.

    Raises:
        StopService: it cannot be written.
    """
    try:
        write_text(file, keys.lines())
    except OSError as error:
        raise StopService(f"{file}: cannot be written: {error.strerror}") from None
