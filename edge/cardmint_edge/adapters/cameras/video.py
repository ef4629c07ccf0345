"""Webcams and the Raspberry Pi's camera, through OpenCV and V4L2."""

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Retry

MJPG = cv2.VideoWriter.fourcc(*"MJPG")
RATE = 30
"""Frames a second that the camera is asked for."""
LEAST_RATE = 8.0
"""Frames a second below which a card waits noticeably for its photo."""
_RATE_FRAMES = 20
_RATE_S = 0.5
"""Over how many frames, and at least how many seconds, the rate is measured."""


class VideoSource(Protocol):
    """An open video device, as `cv2.VideoCapture`."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Return whether the device is open."""
        ...

    def set(self, propId: int, value: float, /) -> bool:  # noqa: N803 - OpenCV's name
        """Ask for a property."""
        ...

    def get(self, propId: int, /) -> float:  # noqa: N803 - OpenCV's name
        """Return a property; 0 where the driver does not know."""
        ...

    def read(self) -> tuple[bool, object]:
        """Wait for the next picture."""
        ...

    def release(self) -> None:
        """Close the device."""
        ...


class VideoDevice:
    """A V4L2 device by number, path or name under `/dev/v4l/by-id/`; or a video's URL.

    Motion JPEG is asked for: without compression a webcam has no room for large pictures on USB.
    """

    def __init__(
        self,
        device: int | str,
        *,
        width: int = 1920,
        height: int = 1080,
        make: Callable[[int | str], VideoSource] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._device = device
        self._size = (width, height)
        self._make = make or _open
        self._clock = clock
        self._capture: VideoSource | None = None
        self._last: Frame | None = None
        self._format = ""
        self._times: deque[float] = deque(maxlen=_RATE_FRAMES)
        self.name = f"video {device}"

    def open(self) -> None:
        """Open the device, and ask for Motion JPEG of the set size.

        Raises:
            Retry: there is no such device, or another program uses it.
        """
        capture = self._make(self._device)
        if not capture.isOpened():
            capture.release()
            raise Retry(
                f"{self.name}: no such camera, or another program uses it;"
                " plug it in, or name another device"
            )
        # The format first: with another one the driver offers fewer sizes.
        capture.set(cv2.CAP_PROP_FOURCC, MJPG)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        capture.set(cv2.CAP_PROP_FPS, RATE)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._format = _letters(capture.get(cv2.CAP_PROP_FOURCC))
        self._times.clear()
        self._capture = capture

    @property
    def note(self) -> str:
        """What the camera gives in place of what was asked for; empty where it gives that."""
        if self._last is None:
            return ""
        height, width = self._last.shape[:2]
        given = f"{width} x {height}" + (f" in {self._format}" if self._format else "")
        if (width, height) != self._size:
            wanted = f"{self._size[0]} x {self._size[1]}"
            return (
                f"{self.name} gives {given} where {wanted} is set; set camera.width and"
                " camera.height to a size that it has, or use a port of USB 3"
            )
        span = self._times[-1] - self._times[0]
        if span > _RATE_S:
            rate = (len(self._times) - 1) / span
            if rate < LEAST_RATE:
                return (
                    f"{self.name} gives {rate:.0f} pictures a second ({given}); give it more light,"
                    " a port of USB 3, or a smaller camera.width and camera.height"
                )
        return ""

    def preview(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - the driver waits itself
        """Return the next picture.

        Raises:
            Retry: no picture came: the camera was unplugged, or is asleep.
        """
        read, picture = self._capture.read() if self._capture is not None else (False, None)
        if not read or picture is None:
            raise Retry(f"{self.name}: no picture comes any more; was it unplugged?")
        self._times.append(self._clock())
        self._last = np.asarray(picture, dtype=np.uint8)
        return self._last

    def button_photo(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - a webcam has no button
        """Return None."""
        return None

    def take_photo(self) -> Frame:
        """Return the last preview: the picture in which the card lay still.

        Raises:
            Retry: no picture came.
        """
        if self._last is None:
            self.preview(0)
        if self._last is None:
            raise Retry(f"{self.name}: no picture came yet")
        return self._last

    def photo_counted(self) -> None:
        """Do nothing: a webcam keeps no photo."""

    def close(self) -> None:
        """Release the device."""
        self._last = None
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _open(device: int | str) -> VideoSource:
    return cv2.VideoCapture(device)


def _letters(code: float) -> str:
    """Return the four letters of a pixel format; empty where it is not known."""
    letters = int(code).to_bytes(4, "little", signed=True).decode("ascii", "replace")
    return letters.strip() if letters.isprintable() and code else ""
