"""Detects a new card that lies still under a camera: one shot a card, however long it lies."""

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.config import ContourConfig
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.contours import contour_quads, has_card_shape
from cardmint_edge.domain.vision.fingerprint import ALIKE, difference, fingerprint, is_plain
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import View

STILL_S = 0.25
"""How long nothing may move before a card is taken, in seconds."""

MOVED = 6.0
"""Change of a field of the frame, in grey levels, above which it has moved."""

_FIELDS = (64, 48)
_VIEW = (126, 176)


class NewCardDetector:
    """Watches frames, one after another, for a new card that lies still.

    A card is new when nothing moves and its fingerprint differs from that of the card before, or
    when the place was empty in between. A nudge, or a hand that passes over, makes no new card.
    `last` is the fingerprint of the card that was taken last. Times are seconds of any one clock.
    """

    def __init__(
        self,
        last: bytes = b"",
        *,
        still_s: float = STILL_S,
        contours: ContourConfig | None = None,
    ) -> None:
        self._last = last
        self._still_s = still_s
        self._contours = contours or ContourConfig()
        self._before: NDArray[np.float32] | None = None
        self._since: float | None = None
        self._judged = False
        self._fingerprint = b""
        self.outline: Quad | None = None

    def watch(self, now: float, frame: Frame) -> bool:
        """Take the next frame (height x width x 3, BGR); return whether a new card lies still."""
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        fields = cv2.resize(grey, _FIELDS, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._before = self._before, fields
        if before is None or float(np.abs(fields - before).max()) > MOVED:
            self._since, self._judged = now, False
            return False
        if self._judged or self._since is None or now - self._since < self._still_s:
            return False
        if not self.find(frame):
            self._last = b""
            return False
        return difference(self._fingerprint, self._last) > ALIKE

    def find(self, frame: Frame) -> bool:
        """Find a card in a frame, whether it lies still or not; return whether there is one."""
        self._judged = True
        self.outline, self._fingerprint = None, b""
        height, width = frame.shape[:2]
        view = View(frame)
        for quad in contour_quads(frame, self._contours):
            if has_card_shape(quad, width, height):
                card = view.cut(quad, *_VIEW)
                if not is_plain(card):
                    self.outline, self._fingerprint = quad, fingerprint(card)
                    return True
        return False

    @property
    def fingerprint(self) -> bytes:
        """Fingerprint of the card that was found last."""
        return self._fingerprint

    def reset(self) -> None:
        """Judge the card in place once more, as after a camera came back."""
        self._before, self._since, self._judged = None, None, False

    def confirm(self) -> None:
        """Remember the card that was found last as counted."""
        self._last = self._fingerprint
