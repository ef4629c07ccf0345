"""Captures: the camera, and the shots that it gives."""

from dataclasses import dataclass
from typing import Protocol

from cardmint_edge.domain.recognition import Frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One capture of one card: the frame and its origin, a file's name or a camera's counter.

    By its `fingerprint` (`vision.fingerprint`) a camera knows a card that still lies there. It is
    empty where the camera took none.
    """

    frame: Frame
    origin: str
    fingerprint: bytes = b""


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

    def close(self) -> None:
        """Release the camera."""
        ...
