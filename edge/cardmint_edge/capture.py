"""Captures: the camera, the shots that it gives, and the files that gave none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from cardmint_edge.domain.recognition import Frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One capture of one card: the frame and its origin, a file's name or a camera's counter.

    By its `fingerprint` (`vision.fingerprint`) a camera knows a card that still lies there. It is
    empty where the camera took none. `digest` is the SHA-256 (hex) of the picture's file; empty
    where there is no file. `resumed` marks a shot that was taken before a restart and was not
    confirmed, `again` one that the operator wants counted although the picture was counted before.
    `same_place` says that the place was not seen empty since the last counted card, which may lie
    there still.
    """

    frame: Frame
    origin: str
    fingerprint: bytes = b""
    digest: str = ""
    resumed: bool = False
    again: bool = False
    same_place: bool = False


class Camera(Protocol):
    """Gives one shot for each card that is laid under it."""

    @property
    def name(self) -> str:
        """The camera's name."""
        ...

    @property
    def done(self) -> bool:
        """Whether there will be no more shots."""
        ...

    def next(self, timeout_s: float) -> Shot | None:
        """Wait at most `timeout_s` seconds for a new card; None when none came.

        Raises:
            Park: this capture cannot be used, and the camera goes on with the next one.
            Retry: the camera is away.
        """
        ...

    def capture(self) -> bool:
        """Take a shot of what lies there now, from any thread.

        False: this camera cannot take one on command.
        """
        ...

    def confirm(self) -> None:
        """Mark the last shot as durably counted, so that it does not come again after a restart."""
        ...

    def set_aside(self, reason: str, message: str) -> None:
        """Mark the last shot as not counted, with the reason, so that it does not come again."""
        ...

    def close(self) -> None:
        """Release the camera."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A file of a watched folder that gave no scan, and why.

    `key` identifies the file in a URL as long as it lies where it lies, `name` is its path in the
    folder with every byte printable. `reason` is a code and `message` a sentence with the remedy.
    `time` is when the file was set aside, or seen first (UTC).
    """

    key: str
    name: str
    reason: str
    message: str
    bytes: int
    time: datetime


class SourceFiles(Protocol):
    """The files of a watched folder that gave no scan. Safe to call from any thread."""

    def parked(self, limit: int = 100) -> Sequence[SourceFile]:
        """Return files that were set aside, the newest first."""
        ...

    def waiting(self, limit: int = 100) -> Sequence[SourceFile]:
        """Return files that still lie in the folder and are not usable now, or are left alone."""
        ...

    def retry(self, key: str) -> bool:
        """Try a file that was set aside once more; False if it is gone.

        A picture that was counted before is then counted again.
        """
        ...

    def dismiss(self, key: str) -> bool:
        """Move a file that was set aside to `dismissed/`; False if it is gone."""
        ...


@runtime_checkable
class HasFiles(Protocol):
    """A camera whose shots come from files."""

    @property
    def files(self) -> SourceFiles:
        """The files that gave no scan."""
        ...


class _NoFiles:
    """The files of a camera that has none."""

    def parked(self, limit: int = 100) -> Sequence[SourceFile]:  # noqa: ARG002 - the protocol's
        return ()

    def waiting(self, limit: int = 100) -> Sequence[SourceFile]:  # noqa: ARG002 - the protocol's
        return ()

    def retry(self, key: str) -> bool:  # noqa: ARG002 - the protocol's
        return False

    def dismiss(self, key: str) -> bool:  # noqa: ARG002 - the protocol's
        return False


NO_FILES: SourceFiles = _NoFiles()
"""The files of a camera without a folder."""
