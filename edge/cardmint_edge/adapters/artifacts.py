"""Packs and models that came from afar.

Downloaded with resume, checked, kept beside the ones before them.
"""

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
    """One that is, or was, in use: its checksum, version, and the name of its file or folder.

    Empty: the built-in.
    """

    sha256: str = ""
    version: str = ""
    name: str = ""


class ArtifactIndex(msgspec.Struct, kw_only=True):
    """What is in use of each artifact, what was before it, and what was refused, with the reason."""

    active: dict[str, InstalledArtifact] = msgspec.field(default_factory=dict)
    before: dict[str, InstalledArtifact] = msgspec.field(default_factory=dict)
    refused: dict[str, str] = msgspec.field(default_factory=dict)


def artifact_folder(data: Path) -> Path:
    """Return the folder of packs and models in a station's data folder.

    Version 0.1.0 called it `wares`: that one is renamed.

    Raises:
        Stop: it cannot be renamed.
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
    """A folder of packs and models, and the file that says which are in use."""

    def __init__(
        self, folder: Path, *, key: str, transport: "httpx.BaseTransport | None" = None
    ) -> None:
        """Take the folder and the public key, Ed25519 in base64.

        Without one nothing is taken from afar.

        Raises:
            Stop: the folder or its file cannot be used.
        """
        self.folder = folder
        self._key = key
        self._transport = transport
        self._file = folder / "shelf.json"
        try:
            make_folder(folder)
            self.shelf = (
                msgspec.json.decode(self._file.read_bytes(), type=ArtifactIndex)
                if self._file.exists()
                else ArtifactIndex()
            )
        except OSError as error:
            raise Stop(
                f"{folder}: {error.strerror}; give the agent's user a data folder it may write"
            ) from error
        except msgspec.DecodeError:
            self.shelf = (
                ArtifactIndex()
            )  # the built-in ones are used, and the retained manifests come again

    def path(self, artifact: Artifact) -> Path | None:
        """Return what is in use of an artifact; None for what the settings name."""
        kept = self.shelf.active.get(artifact, InstalledArtifact())
        return self.folder / kept.name if kept.name and (self.folder / kept.name).exists() else None

    def version(self, artifact: Artifact) -> str:
        """Return the version of what is in use of an artifact; empty for what the settings name."""
        return self.shelf.active.get(artifact, InstalledArtifact()).version

    def save(self) -> None:
        """Write down what is in use.

        Raises:
            Stop: the disk does not take it.
        """
        try:
            write_file(self._file, msgspec.json.encode(self.shelf))
        except OSError as error:
            raise Stop(f"cannot write {self._file}: {error.strerror}") from error

    def check_signature(self, manifest: Manifest) -> None:
        """Check who made a manifest.

        Raises:
            Park: there is no key to check it with, or another key signed it.
        """
        if not self._key:
            raise Park(
                "recognition.signed_by names no key to check it with; nothing is taken from afar without one"
            )
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - 6 MB, for a check of once a month
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - as above

        try:
            key = Ed25519PublicKey.from_public_bytes(b64decode(self._key))
            key.verify(b64decode(manifest.signature), manifest.signed().encode())
        except (InvalidSignature, ValueError) as error:
            raise Park("its signature is not of the key in recognition.signed_by") from error

    def fetch(self, manifest: Manifest, stopping: Callable[[], bool]) -> InstalledArtifact:
        """Download what a manifest names, from where an earlier try ended, check it, and unpack models.

        Raises:
            Retry: the network or the disk failed; what came is kept.
            Park: it is not what the manifest says.
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
        import httpx  # noqa: PLC0415 - 2 MB, for a download of once a month

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
                    for piece in response.iter_raw():
                        have += len(piece)
                        if have > manifest.bytes:
                            raise Park(
                                f"{manifest.url} gives more than the {manifest.bytes} bytes of its manifest"
                            )
                        file.write(piece)
                        if stopping():
                            raise Retry("the station stops; the rest comes after the next start")
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
                            f"{packed.name} holds {entry.filename!r}; only models and their manifests are taken"
                        )
                    write_file(target / entry.filename, zipped.read(entry))
        except zipfile.BadZipFile as error:
            raise Park(f"{packed.name} is no zip of models: {error}") from error
        return target.name


def _check(part: Path, manifest: Manifest) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = part.stat().st_size
    if size != manifest.bytes or digest != manifest.sha256:
        part.unlink()
        raise Park(f"{manifest.url} is not what its manifest says: {size} bytes, SHA-256 {digest}")
