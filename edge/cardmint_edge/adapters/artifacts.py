"""Packs and models from the cloud: downloaded, checked, and stored beside the earlier ones."""

import hashlib
import zipfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cardmint_contracts.control import Artifact, Manifest
from cardmint_edge.adapters.durable_files import make_folder, sync_folder, write_file
from cardmint_edge.errors import Park, Retry, Stop

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0
MODEL_ENDINGS = (".json", ".tflite")
MAX_MODELS_BYTES = 512 << 20


class InstalledArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """A pack or models from the cloud, in use now or before: checksum, version, file or folder.

    All fields empty: the pack or models that the settings name.
    """

    sha256: str = ""
    version: str = ""
    name: str = ""


class ArtifactIndex(msgspec.Struct, kw_only=True):
    """Of each artifact the one in use, the one before it, and the refused ones with reasons."""

    active: dict[str, InstalledArtifact] = msgspec.field(default_factory=dict)
    before: dict[str, InstalledArtifact] = msgspec.field(default_factory=dict)
    refused: dict[str, str] = msgspec.field(default_factory=dict)


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
        self, folder: Path, *, key: str, transport: "httpx.BaseTransport | None" = None
    ) -> None:
        """Take the folder and the public key, Ed25519 in base64.

        Without a key no artifact from the cloud is accepted.

        Raises:
            Stop: the folder or its index cannot be used.
        """
        self.folder = folder
        self._key = key
        self._transport = transport
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
        except msgspec.DecodeError:
            # The settings' pack and models are used, and the broker sends the manifests again.
            self.index = ArtifactIndex()

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
            Stop: the file cannot be written.
        """
        try:
            write_file(self._file, msgspec.json.encode(self.index))
        except OSError as error:
            raise Stop(f"cannot write {self._file}: {error.strerror}") from error

    def check_signature(self, manifest: Manifest) -> None:
        """Check a manifest's signature.

        Raises:
            Park: the settings name no key, or another key signed the manifest.
        """
        if not self._key:
            raise Park("recognition.signed_by names no key; without one no artifact is accepted")
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - 6 MB, needed once a month
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - as above
            Ed25519PublicKey,
        )

        try:
            key = Ed25519PublicKey.from_public_bytes(b64decode(self._key))
            key.verify(b64decode(manifest.signature), manifest.signed().encode())
        except (InvalidSignature, ValueError) as error:
            raise Park("the key in recognition.signed_by did not sign it") from error

    def fetch(self, manifest: Manifest, stopping: Callable[[], bool]) -> InstalledArtifact:
        """Download the file of a manifest, check it, and unpack it if it has models.

        An interrupted download continues.

        Raises:
            Retry: the network or the disk failed. The first part of the file is kept.
            Park: the file does not match the manifest.
        """
        ending = "sqlite" if manifest.artifact == "catalogue" else "zip"
        whole = self.folder / f"{manifest.artifact}-{manifest.sha256[:16]}.{ending}"
        part = whole.with_name(whole.name + ".part")
        if not whole.exists():
            try:
                self._download(manifest, part, stopping)
                _check(part, manifest)
                part.replace(whole)
                sync_folder(self.folder)
            except OSError as error:
                raise Retry(f"{part}: {error.strerror}") from error
        name = whole.name if manifest.artifact == "catalogue" else self._unpack(whole)
        return InstalledArtifact(sha256=manifest.sha256, version=manifest.version, name=name)

    def _download(self, manifest: Manifest, part: Path, stopping: Callable[[], bool]) -> None:
        import httpx  # noqa: PLC0415 - 2 MB, needed once a month

        have = part.stat().st_size if part.exists() else 0
        if have >= manifest.bytes:
            return
        headers = {"accept-encoding": "identity", **({"range": f"bytes={have}-"} if have else {})}
        try:
            with (
                httpx.Client(
                    timeout=TIMEOUT_S, transport=self._transport, follow_redirects=True
                ) as client,
                client.stream("GET", manifest.url, headers=headers) as response,
            ):
                if response.is_client_error:
                    raise Park(f"{manifest.url} answered {response.status_code}")
                if not response.is_success:
                    raise Retry(f"{manifest.url} answered {response.status_code}")
                resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
                have = have if resumed else 0
                with part.open("ab" if resumed else "wb") as file:
                    for chunk in response.iter_raw():
                        have += len(chunk)
                        if have > manifest.bytes:
                            raise Park(
                                f"{manifest.url} has more than the {manifest.bytes} bytes"
                                " of its manifest"
                            )
                        file.write(chunk)
                        if stopping():
                            raise Retry(
                                "the station stops; the download continues after the next start"
                            )
        except httpx.HTTPError as error:
            raise Retry(f"{manifest.url}: {type(error).__name__} {error}") from error
        if have < manifest.bytes:
            raise Retry(f"{manifest.url} ended after {have} of {manifest.bytes} bytes")

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
        except zipfile.BadZipFile as error:
            raise Park(f"{packed.name} is not a zip of models: {error}") from error
        return target.name


def _check(part: Path, manifest: Manifest) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = part.stat().st_size
    if size != manifest.bytes or digest != manifest.sha256:
        part.unlink()
        raise Park(
            f"{manifest.url} does not match its manifest: it has {size} bytes, SHA-256 {digest}"
        )
