"""Packs and models from the cloud: downloaded, checked, and stored beside the earlier ones."""

import errno
import hashlib
import shutil
import zipfile
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from cardmint_contracts.control import Artifact, Manifest
from cardmint_edge import __version__
from cardmint_edge.adapters.durable_files import make_folder, sync_folder, write_file
from cardmint_edge.errors import Park, Retry, Stop

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0
MODEL_ENDINGS = (".json", ".tflite")
MAX_MODELS_BYTES = 64 << 20
MAX_REDIRECTIONS = 5
CHUNK_BYTES = 64 << 10
_BAD_ZIP = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError),
    *(ValueError, IndexError),
)
"""What `zipfile` raises for damaged, encrypted or unknown content."""


class InstalledArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A pack or models from the cloud, in use now or before: checksum, version, file or folder.

    All fields empty: the pack or models that the settings name.
    """

    sha256: str = ""
    version: str = ""
    name: str = ""


class ArtifactIndex(msgspec.Struct, kw_only=True):
    """Of each artifact the one in use, the one before it, and the refused ones with reasons.

    `refused` has verdicts on bytes only, by SHA-256, made by version `agent`; those on a manifest
    that may replace a fuller pack have " replace" behind it. `serials` has the
    highest serial seen of each artifact, `replaced` the SHA-256 of what was in use once.
    """

    active: dict[str, InstalledArtifact] = msgspec.field(default_factory=dict)
    before: dict[str, InstalledArtifact] = msgspec.field(default_factory=dict)
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    agent: str = ""
    serials: dict[str, int] = msgspec.field(default_factory=dict)
    replaced: list[str] = msgspec.field(default_factory=list)


def artifact_folder(data: Path) -> Path:
    """Return the folder of packs and models in a station's data folder.

    A folder `wares`, of version 0.1.0, is renamed.

    Raises:
        Stop: the folder cannot be renamed.
    """
    folder, earlier = data / "artifacts", data / "wares"
    try:
        if earlier.is_dir() and not folder.exists():
            earlier.rename(folder)
            sync_folder(data)
    except OSError as error:
        raise Stop(f"cannot rename {earlier} to {folder}: {error.strerror}") from error
    return folder


class ArtifactStore:
    """A folder of packs and models, and an index file of those in use."""

    def __init__(
        self,
        folder: Path,
        *,
        key: str,
        hosts: AbstractSet[tuple[str, int]] = frozenset(),
        token: str = "",
        cloud_url: str = "",
        reserve_bytes: int = 0,
    ) -> None:
        """Take the folder, the public key (Ed25519 in base64), and hosts with ports to fetch from.

        `token` is sent to the host of `cloud_url` alone. Without a key no artifact from the cloud
        is accepted. `reserve_bytes` stay free on the disk.

        Raises:
            Stop: the folder or its index cannot be used.
        """
        self.folder = folder
        self._key = key
        self._hosts = hosts
        self._token, self._cloud = token, _host_and_port(cloud_url)
        self._reserve_bytes = reserve_bytes
        self._file = folder / "shelf.json"
        try:
            make_folder(folder)
            self.index = (
                msgspec.json.decode(self._file.read_bytes(), type=ArtifactIndex)
                if self._file.exists()
                else ArtifactIndex()
            )
        except OSError as error:
            raise Stop(
                f"{folder}: {error.strerror}; give the agent's user a data folder that it may write"
            ) from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            # The settings' pack and models are used, and the broker sends the manifests again.
            self.index = ArtifactIndex()
        if self.index.agent != __version__:
            # What an earlier version could not use, this one perhaps can.
            self.index.refused.clear()
            self.index.agent = __version__

    def path(self, artifact: Artifact) -> Path | None:
        """Return the file or folder in use; None for the one that the settings name."""
        installed = self.index.active.get(artifact, InstalledArtifact())
        path = self.folder / installed.name
        return path if installed.name and path.exists() else None

    def version(self, artifact: Artifact) -> str:
        """Return the version in use; empty for the artifact that the settings name."""
        return self.index.active.get(artifact, InstalledArtifact()).version

    def save(self) -> None:
        """Write the index file.

        Raises:
            Retry: the file cannot be written.
        """
        try:
            write_file(self._file, msgspec.json.encode(self.index))
        except OSError as error:
            raise Retry(f"cannot write {self._file}: {error.strerror}") from error

    def check(self, manifest: Manifest) -> None:
        """Check a manifest's signature, then its serial and its address.

        Raises:
            Park: the settings name no key, another key signed it, it is older than the last one, or
                its address is not among the hosts.
        """
        self._check_signature(manifest)
        seen = self.index.serials.get(manifest.artifact, 0)
        if (manifest.serial or 0) < seen:
            raise Park(
                f"it was signed before the last one (serial {manifest.serial or 'none'}, {seen}"
                " was seen); to go back, sign it again"
            )
        if manifest.serial is None and manifest.sha256 in self.index.replaced:
            raise Park("it was in use here and was replaced; to go back, sign it again")
        self._check_address(manifest.url)

    def _check_address(self, url: str) -> None:
        """Raise Park for an address that is not among the hosts."""
        if _host_and_port(url) not in self._hosts:
            raise Park(
                f"{url} is at no host that this station fetches from; set cloud.url or"
                " recognition.hosts"
            )

    def _check_signature(self, manifest: Manifest) -> None:
        if not self._key:
            raise Park("recognition.signed_by names no key; without one no artifact is accepted")
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - 6 MB, needed once a month
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - as above
            Ed25519PublicKey,
        )

        try:
            key = Ed25519PublicKey.from_public_bytes(b64decode(self._key))
            key.verify(b64decode(manifest.signature), manifest.signed().encode())
            if manifest.serial is not None:
                serial_signature = b64decode(manifest.serial_signature)
                key.verify(serial_signature, manifest.signed_serial().encode())
            if manifest.replace_signature:
                replace_signature = b64decode(manifest.replace_signature)
                key.verify(replace_signature, manifest.signed_replacing().encode())
        except (InvalidSignature, ValueError) as error:
            raise Park("the key in recognition.signed_by did not sign it") from error

    def fetch(self, manifest: Manifest, stopping: Callable[[], bool]) -> InstalledArtifact:
        """Download the file of a manifest, check it, and unpack it if it has models.

        An interrupted download continues. A manifest is checked before (`check`).

        Raises:
            Retry: the network, the server or the disk failed, or `stopping` returned True. A part
                of the file that may be right is kept.
            Park: the file is the manifest's, and cannot be used.
        """
        ending = "sqlite" if manifest.artifact == "catalogue" else "zip"
        whole = self.folder / f"{manifest.artifact}-{manifest.sha256[:16]}.{ending}"
        part = whole.with_name(whole.name + ".part")
        try:
            self._remove_other_parts(manifest.artifact, part)
            if not whole.exists() or not _matches(whole, manifest):
                self._download(manifest, part, stopping)
                if not _matches(part, manifest):
                    part.unlink()
                    raise Retry(f"{manifest.url} does not match its manifest")
                part.replace(whole)
                sync_folder(self.folder)
            name = whole.name if manifest.artifact == "catalogue" else self._unpack(whole)
        except OSError as error:
            raise Retry(f"{whole}: {error.strerror}") from error
        return InstalledArtifact(sha256=manifest.sha256, version=manifest.version, name=name)

    def _remove_other_parts(self, artifact: Artifact, part: Path) -> None:
        for other in self.folder.glob(f"{artifact}-*.part"):
            if other != part:
                other.unlink(missing_ok=True)

    def _download(self, manifest: Manifest, part: Path, stopping: Callable[[], bool]) -> None:
        import httpx  # noqa: PLC0415 - 2 MB, needed once a month

        have = part.stat().st_size if part.exists() else 0
        if have >= manifest.bytes:
            return
        free = shutil.disk_usage(self.folder).free
        if free - self._reserve_bytes < manifest.bytes - have:
            raise Retry(f"no room for {manifest.bytes >> 20} MB in {self.folder}")
        try:
            with httpx.Client(timeout=TIMEOUT_S) as client, ExitStack() as stack:
                response = self._response(client, stack, manifest.url, have)
                _write(response, part, have, manifest, stopping)
        except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
            # The last two are of a proxy in the environment that cannot be used.
            raise Retry(f"{manifest.url}: {type(error).__name__} {error}") from error

    def _response(
        self, client: "httpx.Client", stack: ExitStack, url: str, have: int
    ) -> "httpx.Response":
        """Ask for the bytes from `have` on. Redirections are followed to allowed hosts only."""
        headers = {"accept-encoding": "identity", **({"range": f"bytes={have}-"} if have else {})}
        if self._token and _host_and_port(url) == self._cloud:
            headers["authorization"] = f"Bearer {self._token}"  # httpx drops it at another host
        request = client.build_request("GET", url, headers=headers)
        for _ in range(MAX_REDIRECTIONS):
            response = client.send(request, stream=True)
            stack.callback(response.close)
            if response.next_request is None:
                return response
            request = response.next_request
            try:
                self._check_address(str(request.url))
            except Park as error:
                raise Retry(f"{url} redirects: {error}") from error
        raise Retry(f"{url} redirects more than {MAX_REDIRECTIONS} times")

    def _unpack(self, packed: Path) -> str:
        target = packed.with_suffix("")
        try:
            with zipfile.ZipFile(packed) as zipped:
                names = [entry for entry in zipped.infolist() if not entry.is_dir()]
                if sum(entry.file_size for entry in names) > MAX_MODELS_BYTES:
                    raise Park(f"{packed.name} unpacks to more than {MAX_MODELS_BYTES >> 20} MB")
                make_folder(target)
                for entry in names:
                    if (
                        "/" in entry.filename
                        or "\\" in entry.filename
                        or not entry.filename.endswith(MODEL_ENDINGS)
                    ):
                        raise Park(
                            f"{packed.name} has {entry.filename!r};"
                            " only models and their manifests are accepted"
                        )
                    write_file(target / entry.filename, zipped.read(entry))
        except _BAD_ZIP as error:
            raise Park(f"{packed.name} is not a zip of models: {error}") from error
        except OSError as error:
            if error.errno == errno.EINVAL:  # an offset outside of the file
                raise Park(f"{packed.name} is not a zip of models: {error}") from error
            raise
        return target.name


def allowed_hosts(cloud_url: str, hosts: Iterable[str]) -> frozenset[tuple[str, int]]:
    """Return the hosts with ports to fetch from: the cloud's, and others as `host` or `host:port`.

    A host without a port is meant with the ports of HTTP and HTTPS.
    """
    urls = [cloud_url] if cloud_url else []
    for host in hosts:
        urls += [f"http://{host}", f"https://{host}"]
    return frozenset(found for url in urls if (found := _host_and_port(url)) is not None)


def _host_and_port(url: str) -> tuple[str, int] | None:
    """Return where a URL leads; None for one that is broken or names a user."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return None
    if not parts.hostname or not port or "@" in parts.netloc or "\\" in parts.netloc:
        return None
    return parts.hostname.lower(), port


def _write(
    response: "httpx.Response",
    part: Path,
    have: int,
    manifest: Manifest,
    stopping: Callable[[], bool],
) -> None:
    """Write a response's bytes to `part`, not more than the manifest names."""
    url = manifest.url
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.unlink(missing_ok=True)
    if not response.is_success:
        raise Retry(f"{url} answered {response.status_code}")
    resumed = response.status_code == HTTPStatus.PARTIAL_CONTENT
    have = have if resumed else 0
    with part.open("ab" if resumed else "wb") as file:
        for chunk in response.iter_raw(CHUNK_BYTES):
            have += len(chunk)
            if have > manifest.bytes:
                file.truncate(0)
                raise Retry(f"{url} has more than the {manifest.bytes} bytes of its manifest")
            file.write(chunk)
            if stopping():
                raise Retry("the download is interrupted, and continues later")
    if have < manifest.bytes:
        raise Retry(f"{url} ended after {have} of {manifest.bytes} bytes")


def _matches(file: Path, manifest: Manifest) -> bool:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return (file.stat().st_size, digest) == (manifest.bytes, manifest.sha256)
