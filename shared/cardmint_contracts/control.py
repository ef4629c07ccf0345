"""Commands, settings and artifact manifests that the cloud sends to stations."""

import builtins
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta

from cardmint_contracts.wire import Code, Count, Downward, Line, Sha256, Upward, decode, encode

Artifact: TypeAlias = Literal["catalogue", "models"]
"""What is rolled out to stations: a catalogue pack, or a zip of models."""


class Command(Downward, frozen=True):
    """A command, done once: `capture`, `rescan`, `reload`, `diagnostics` or `restart`.

    `scan` names the scan to repeat for `rescan`.
    """

    name: Code
    scan: UUID | None = None


class CommandReply(Upward, frozen=True):
    """The outcome of a command: whether it was done, and a message for people.

    `lines` holds the findings of `diagnostics`, one a part.
    """

    command: UUID
    done: bool
    says: Line
    lines: Annotated[tuple[Line, ...], Meta(max_length=64)] = ()


class DesiredConfig(Downward, frozen=True):
    """Settings wanted of a station; None leaves the value of the station's own file."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    max_kb_per_s: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    reserve_mb: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    uploads_paused: bool | None = None


class ReportedConfig(Upward, frozen=True):
    """Settings and artifacts that a station uses.

    `version` is that of the desired settings in use, 0 without any; `says` tells why a newer one is
    not in use.
    """

    version: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    max_kb_per_s: Count
    reserve_mb: Count
    uploads_paused: bool
    catalogue: Line = ""
    models: Line = ""
    says: Line = ""


class Manifest(Downward, frozen=True):
    """The manifest of a pack, or of a zip of models, that all stations are to use.

    `signature` is Ed25519 over `signed()`, in base64, by the key in the station's settings.
    `serial` rises with each manifest that the key signs, and `serial_signature` is over
    `signed_serial()`: a station takes no manifest with a lower serial than it has seen. To go back
    to an earlier file is to sign it again (docs/decisions/0066). Version 0.1.0 signed no serial.
    `replace_signature` is over `signed_replacing()`: with it stations take a pack that lacks what
    theirs has (docs/decisions/0106).
    """

    artifact: Artifact
    version: Line
    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+\Z", max_length=2000)]
    bytes: Annotated[int, Meta(ge=1, le=1 << 36)]
    sha256: Sha256
    signature: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{86}==\Z")]
    serial: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    serial_signature: Annotated[str, Meta(pattern=r"^([A-Za-z0-9+/]{86}==)?\Z")] = ""
    replace_signature: Annotated[str, Meta(pattern=r"^([A-Za-z0-9+/]{86}==)?\Z")] = ""

    def signed(self) -> str:
        """Return the text that the signature covers: everything but the file's address."""
        return f"cardmint {self.artifact}\n{self.version}\n{self.bytes}\n{self.sha256}\n"

    def signed_serial(self) -> str:
        """Return the text that the signature of the serial covers."""
        return f"{self.signed()}serial {self.serial}\n"

    def signed_replacing(self) -> str:
        """Return the text that `replace_signature` covers."""
        return f"{self.signed_serial()}replace\n"


class ReleasedSet(Downward, frozen=True):
    """A set, and the day on which it came out."""

    id: Line
    name: Line
    released: Line


class NewestSets(Downward, frozen=True):
    """The sets that came out last, by the cloud's catalogue, the newest first."""

    sets: Annotated[tuple[ReleasedSet, ...], Meta(max_length=64)] = ()

    def since(self, day: str) -> list[str]:
        """Return the names of the sets that came out after a day; none where the day is empty."""
        return [one.name for one in self.sets if day and one.released > day]


def encode_manifest(manifest: Manifest) -> builtins.bytes:
    """Return a manifest as JSON; stations of version 0.1.0 find the artifact under `ware`."""
    values = {**msgspec.to_builtins(manifest), "ware": manifest.artifact}
    if manifest.serial is None:
        del values["serial"], values["serial_signature"]
    if not manifest.replace_signature:
        del values["replace_signature"]
    return encode(values)


def decode_manifest(payload: builtins.bytes) -> Manifest:
    """Read a manifest, in whichever version it was written.

    Raises:
        Oversized, Malformed, UnknownField, Invalid: as `wire.decode`.
    """
    named = decode(payload, _ArtifactName)
    if named.artifact is None and named.ware is not None:
        return decode(payload, ManifestV1).upcast()
    return decode(payload, Manifest)


class _ArtifactName(Downward, frozen=True):
    artifact: Artifact | None = None
    ware: Artifact | None = None


class ManifestV1(Downward, frozen=True):
    """A manifest as version 0.1.0 wrote it."""

    ware: Artifact
    version: Line
    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+\Z", max_length=2000)]
    bytes: Annotated[int, Meta(ge=1, le=1 << 36)]
    sha256: Sha256
    signature: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{86}==\Z")]

    def upcast(self) -> Manifest:
        """Return the same manifest in the current version."""
        values = msgspec.structs.asdict(self)
        return Manifest(artifact=values.pop("ware"), **values)
