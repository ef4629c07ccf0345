"""Webcams and the Raspberry Pi's camera, through OpenCV and V4L2."""

import time
from collections.abc import Callable

import cv2
import numpy as np

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Retry


class VideoDevice:
    """A V4L2 device by number, path or name under `/dev/v4l/by-id/`; or a video's URL."""

    def __init__(
        self,
        device: int | str,
        *,
        width: int = 1920,
        height: int = 1080,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._device = device
        self._size = (width, height)
        self._sleep = sleep
        self._capture: cv2.VideoCapture | None = None
        self._last: Frame | None = None
        self.name = f"video {device}"

    def open(self) -> None:
        """Open the device, and ask for pictures of the set size.

        Raises:
            Retry: there is no such device, or another program uses it.
        """
        capture = cv2.VideoCapture(self._device)
        if not capture.isOpened():
            capture.release()
            raise Retry(
                f"{self.name}: no such camera, or another program uses it;"
                " plug it in, or name another device"
            )
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size[1])
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._capture = capture

    def preview(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - the driver waits itself
        """Return the next picture.

        Raises:
            Retry: no picture came: the camera was unplugged, or is asleep.
        """
        read, picture = self._capture.read() if self._capture is not None else (False, None)
        if not read or picture is None:
            raise Retry(f"{self.name}: no picture comes any more; was it unplugged?")
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
