"""A camera that watches its place: it takes a photo of each new card, and on command."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
import structlog

from cardmint_edge.capture import Shot
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.new_card_detector import NewCardDetector
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.errors import Park, Retry

PREVIEW_EDGE = 640
"""Pixels of a preview's longer side."""

log = structlog.get_logger(__name__)


class CameraDevice(Protocol):
    """A camera device.

    Every method may raise `Retry` with a message for the operator; then the device is opened again.
    """

    @property
    def name(self) -> str:
        """The device's name, complete once it is open."""
        ...

    @property
    def note(self) -> str:
        """What is not as it was set, and what to do; empty for nothing."""
        ...

    def open(self) -> None:
        """Open the device."""
        ...

    def preview(self, timeout_s: float) -> Frame | None:
        """Return a frame of what lies there now; None if the device has no preview."""
        ...

    def button_photo(self, timeout_s: float) -> Frame | None:
        """Wait at most `timeout_s` for a photo taken with the device's own button.

        None: nobody pressed the button. Raises `Park` where a photo was taken that cannot be used.
        """
        ...

    def take_photo(self) -> Frame:
        """Take a photo. Raises `Park` where one was taken that cannot be used."""
        ...

    def photo_counted(self) -> None:
        """Mark the last photo as counted: the device need not keep it."""
        ...

    def close(self) -> None:
        """Release the device, whatever its state."""
        ...


class LiveCamera:
    """A `capture.Camera` that takes a photo of each new card, once it lies still."""

    def __init__(
        self,
        device: CameraDevice,
        *,
        last_fingerprint: bytes = b"",
        by_itself: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the device.

        Without `by_itself` it takes photos on command only. `last_fingerprint` is of the last
        counted card, which may still lie there after a restart.
        """
        self._device = device
        self._detector = NewCardDetector(last_fingerprint)
        self._by_itself = by_itself
        self._clock = clock
        self._open = False
        self._command = threading.Event()
        self._number = 0
        self._unconfirmed: Shot | None = None
        self._preview: tuple[Frame, Quad | None] | None = None

    @property
    def done(self) -> bool:
        """False: another card may always come."""
        return False

    @property
    def name(self) -> str:
        """The device's name."""
        return self._device.name

    @property
    def preview(self) -> tuple[Frame, Quad | None] | None:
        """The last preview and the outline of the card in it; None without a preview."""
        return self._preview

    def set_stack(self, stack: bool) -> None:
        """Take a card after each hand that passed, although it looks like the one before."""
        self._detector.stack = stack

    @property
    def trouble(self) -> str:
        """What keeps cards from being taken, or taken well, and the remedy; empty for nothing."""
        return self._device.note or (self._detector.trouble if self._by_itself else "")

    def capture(self) -> bool:
        """Take a photo as soon as possible, whatever lies there."""
        self._command.set()
        return True

    def next(self, timeout_s: float) -> Shot | None:
        """Wait at most `timeout_s` for a new card. An unconfirmed shot comes again.

        Raises:
            Park: a photo was taken that cannot be used. It is not taken again by itself.
            Retry: the camera is away, asleep, busy or full. The next call opens it again.
        """
        if self._unconfirmed is not None:
            return self._unconfirmed
        try:
            if not self._open:
                self._device.open()
                self._open = True
                log.info("camera", name=self._device.name)
            self._unconfirmed = self._wait(timeout_s)
        except Retry:
            self._release()
            raise
        return self._unconfirmed

    def confirm(self) -> None:
        """Mark the last shot as counted: its card may stay there, and is not taken again."""
        if self._unconfirmed is not None:
            self._device.photo_counted()
        self._unconfirmed = None
        self._detector.confirm()

    def set_aside(self, reason: str, message: str) -> None:  # noqa: ARG002 - a photo has no place
        """Mark the last shot as not counted: its card is not taken again while it lies there."""
        self._unconfirmed = None
        self._detector.confirm()

    def close(self) -> None:
        """Release the camera."""
        self._release()

    def _wait(self, timeout_s: float) -> Shot | None:
        until = self._clock() + timeout_s
        while True:
            left = max(0.0, until - self._clock())
            if self._command.is_set():
                frame = self._take_photo()
                self._command.clear()
                return self._commanded_shot(frame)
            frame_now = self._device.preview(left)
            if frame_now is None:
                photo = self._device.button_photo(left)
            else:
                new = self._detector.watch(self._clock(), frame_now)
                self._preview = (frame_now, self._detector.outline)
                if new and self._by_itself:
                    return self._shot(self._take_photo())
                photo = self._device.button_photo(0)
            if photo is not None:
                return self._commanded_shot(photo)
            if self._clock() >= until:
                return None

    def _take_photo(self) -> Frame:
        """Take a photo once, although it may be of no use."""
        try:
            return self._device.take_photo()
        except Park:
            self._command.clear()
            self._detector.confirm()
            raise

    def _commanded_shot(self, frame: Frame) -> Shot:
        self._detector.find(frame)
        return self._shot(frame)

    def _shot(self, frame: Frame) -> Shot:
        self._number += 1
        return Shot(
            frame=frame,
            origin=f"{self._device.name} {self._number}",
            fingerprint=self._detector.fingerprint,
            # Without a preview nobody knows; whoever presses the button means another card.
            same_place=self._preview is not None and not self._detector.place_was_empty,
        )

    def _release(self) -> None:
        self._preview = None
        self._detector.reset()
        if self._open:
            self._open = False
            self._device.close()


def preview_jpeg(preview: tuple[Frame, Quad | None] | None) -> bytes | None:
    """Return a preview as a small JPEG, with the card's outline; None without a preview."""
    if preview is None:
        return None
    frame, quad = preview
    scale = min(1.0, PREVIEW_EDGE / max(frame.shape[:2]))
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if quad is not None:
        points = np.rint(quad.corners * scale).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(small, [points], isClosed=True, color=(60, 200, 60), thickness=2)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])
    return jpeg.tobytes()
