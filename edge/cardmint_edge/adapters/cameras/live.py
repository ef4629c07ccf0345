"""A camera that always looks.

It takes a card by itself when a new one lies still, and whenever it is told to.
"""

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
from cardmint_edge.errors import Retry

VIEW_EDGE = 640

log = structlog.get_logger(__name__)


class CameraDevice(Protocol):
    """A device. Every method may raise `Retry`, in words for the operator.

    The device is then opened anew.
    """

    @property
    def name(self) -> str:
        """What the device is called, when it is open."""
        ...

    def open(self) -> None:
        """Open the device."""
        ...

    def look(self, timeout_s: float) -> Frame | None:
        """Return what the camera sees now.

        None when it shows nothing before it is asked for a photo.
        """
        ...

    def pressed(self, timeout_s: float) -> Frame | None:
        """Return the photo that somebody took with the camera's own button, if so.

        Wait at most `timeout_s`.
        """
        ...

    def shoot(self) -> Frame:
        """Take a photo."""
        ...

    def close(self) -> None:
        """Let the device go, whatever state it is in."""
        ...


class LiveCamera:
    """One of `capture.Camera`.

    `seen` is what the last counted card looked like, so that a restart knows it again.
    """

    def __init__(
        self,
        source: CameraDevice,
        *,
        seen: bytes = b"",
        by_itself: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the device; `by_itself` says whether a card that lies still is taken without being told."""
        self._source = source
        self._detector = NewCardDetector(seen)
        self._by_itself = by_itself
        self._clock = clock
        self._open = False
        self._asked = threading.Event()
        self._number = 0
        self._given: Shot | None = None
        self._view: tuple[Frame, Quad | None] | None = None

    @property
    def done(self) -> bool:
        """Never: another card may always come."""
        return False

    @property
    def name(self) -> str:
        """What the device is called."""
        return self._source.name

    @property
    def view(self) -> tuple[Frame, Quad | None] | None:
        """What the camera saw last, and the outline of the card in it.

        None while it shows nothing.
        """
        return self._view

    def capture(self) -> bool:
        """Take a photo as soon as possible, whatever lies there."""
        self._asked.set()
        return True

    def next(self, timeout_s: float) -> Shot | None:
        """Wait at most `timeout_s` for a new card; the last one comes again until it is confirmed.

        Raises:
            Retry: the camera is away, asleep, busy or full; the next call opens it anew.
        """
        if self._given is not None:
            return self._given
        try:
            if not self._open:
                self._source.open()
                self._open = True
                log.info("camera", name=self._source.name)
            self._given = self._wait(timeout_s)
        except Retry:
            self._let_go()
            raise
        return self._given

    def confirm(self) -> None:
        """Learn that the last shot is counted: the card may lie on, and is not taken again."""
        self._given = None
        self._detector.confirm()

    def close(self) -> None:
        """Let the camera go."""
        self._let_go()

    def _wait(self, timeout_s: float) -> Shot | None:
        until = self._clock() + timeout_s
        while True:
            left = max(0.0, until - self._clock())
            if self._asked.is_set():
                frame = self._source.shoot()
                self._asked.clear()
                return self._told(frame)
            seen = self._source.look(left)
            if seen is None:
                photo = self._source.pressed(left)
                if photo is not None:
                    return self._told(photo)
            else:
                new = self._detector.watch(self._clock(), seen)
                self._view = (seen, self._detector.outline)
                if new and self._by_itself:
                    return self._shot(self._source.shoot())
            if self._clock() >= until:
                return None

    def _told(self, frame: Frame) -> Shot:
        self._detector.find(frame)
        return self._shot(frame)

    def _shot(self, frame: Frame) -> Shot:
        self._number += 1
        return Shot(
            frame=frame,
            origin=f"{self._source.name} {self._number}",
            fingerprint=self._detector.fingerprint,
        )

    def _let_go(self) -> None:
        self._view = None
        self._detector.reset()
        if self._open:
            self._open = False
            self._source.close()


def outlined(view: tuple[Frame, Quad | None] | None) -> bytes | None:
    """Return a small JPEG of what a camera sees, the card's outline drawn into it.

    None when it shows nothing.
    """
    if view is None:
        return None
    frame, quad = view
    scale = min(1.0, VIEW_EDGE / max(frame.shape[:2]))
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if quad is not None:
        points = np.rint(quad.corners * scale).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(small, [points], isClosed=True, color=(60, 200, 60), thickness=2)
    _, jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])
    return jpeg.tobytes()
