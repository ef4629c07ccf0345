"""Where frames come from."""

from dataclasses import dataclass
from typing import Protocol

from cardmint_edge.domain.recognition import Frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One capture of one card.

    The frame, and where it came from (a file's name, a camera's counter).

    `fingerprint` lets a camera know the card again while it lies there (`vision.fingerprint`).
    """

    frame: Frame
    origin: str
    fingerprint: bytes = b""


class Camera(Protocol):
    """Gives one shot for each card laid under it."""

    @property
    def name(self) -> str:
        """What the camera is called."""
        ...

    @property
    def done(self) -> bool:
        """Whether no more shots will ever come."""
        ...

    def next(self, timeout_s: float) -> Shot | None:
        """Wait at most `timeout_s` seconds for a new card; None when none came.

        Raises:
            Park: this capture cannot be used, and the camera has moved past it.
            Retry: the camera is away.
        """
        ...

    def capture(self) -> bool:
        """Take a shot of what lies there now, from any thread.

        False when this camera cannot be told to.
        """
        ...

    def confirm(self) -> None:
        """Learn that the last shot is durably counted, so that a restart does not bring it again."""
        ...

    def close(self) -> None:
        """Let the camera go."""
        ...
