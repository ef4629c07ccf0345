"""A camera and a folder of photos as one camera."""

from cardmint_edge.capture import Camera, Shot
from cardmint_edge.errors import Retry


class SeveralCameras:
    """The station's camera, whose shots alternate with those of a second one, such as photos.

    The name, and photos on command, are those of the first.
    """

    def __init__(self, first: Camera, second: Camera) -> None:
        self._first = first
        self._second = second
        self._last = first
        # The first shot after a start may be one that was counted before, of the first camera.
        self._first_is_next = True

    @property
    def name(self) -> str:
        """The first camera's name."""
        return self._first.name

    @property
    def done(self) -> bool:
        """Whether the first camera is done; a folder never is."""
        return self._first.done

    def next(self, timeout_s: float) -> Shot | None:
        """Wait for a shot of either.

        Raises:
            Park: a capture cannot be used.
            Retry: one of them is away, and the other has no shot.
        """
        order = [self._first, self._second]
        if not self._first_is_next:
            order.reverse()
        for camera in order:
            try:
                shot = camera.next(0.0)
            except Retry:
                continue  # what it misses is said below, unless the other has a shot
            if shot is not None:
                return self._given(camera, shot)
        shot = self._first.next(timeout_s)
        return None if shot is None else self._given(self._first, shot)

    def capture(self) -> bool:
        """Take a shot with the first camera. False: it cannot take one on command."""
        return self._first.capture()

    def confirm(self) -> None:
        """Mark the last shot as counted."""
        self._last.confirm()

    def set_aside(self, reason: str, message: str) -> None:
        """Mark the last shot as not counted."""
        self._last.set_aside(reason, message)

    def close(self) -> None:
        """Release both."""
        self._first.close()
        self._second.close()

    def _given(self, camera: Camera, shot: Shot) -> Shot:
        self._last = camera
        self._first_is_next = camera is not self._first
        return shot
