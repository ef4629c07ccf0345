"""What the cloud wants of a station beside answers.

Commands, settings, and the packs and models to use.
"""

from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.wire import Code, Count, Downward, Line, Sha256, Upward

Ware: TypeAlias = Literal["catalogue", "models"]


class Command(Downward, frozen=True):
    """Something to do once: `capture`, `rescan`, `reload`, `diagnostics`, `restart`.

    `scan` is for `rescan`.
    """

    name: Code
    scan: UUID | None = None


class CommandReply(Upward, frozen=True):
    """What became of a command.

    Done or not, in words, and for `diagnostics` what was found, a line a part.
    """

    command: UUID
    done: bool
    says: Line
    lines: Annotated[tuple[Line, ...], Meta(max_length=64)] = ()


class DesiredConfig(Downward, frozen=True):
    """Settings that may be changed from afar; what is None stays as the station's own file says."""

    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    max_kb_per_s: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    reserve_mb: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    uploads_paused: bool | None = None


class ReportedConfig(Upward, frozen=True):
    """What the station uses now.

    The version that was applied, 0 when none was, and why a newer one was not.
    """

    version: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    max_kb_per_s: Count
    reserve_mb: Count
    uploads_paused: bool
    catalogue: Line = ""
    models: Line = ""
    says: Line = ""


class Manifest(Downward, frozen=True):
    """A pack, or a zip of models, that the fleet is to use.

    `signature` is Ed25519 over `signed()`, in base64, by the key that the station's settings name.
    """

    ware: Ware
    version: Line
    url: Annotated[str, Meta(pattern=r"^https?://[^\s]+\Z", max_length=2000)]
    bytes: Annotated[int, Meta(ge=1, le=1 << 36)]
    sha256: Sha256
    signature: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{86}==\Z")]

    def signed(self) -> str:
        """Return what the signature covers, as UTF-8: everything but where the file lies."""
        return f"cardmint {self.ware}\n{self.version}\n{self.bytes}\n{self.sha256}\n"
