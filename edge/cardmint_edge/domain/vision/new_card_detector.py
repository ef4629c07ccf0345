"""When a card that lies still under a camera is a new one.

Each is one sighting, however long it lies there.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.vision.contours import looks_like_card, propose
from cardmint_edge.domain.vision.fingerprint import ALIKE, difference, fingerprint, is_plain
from cardmint_edge.domain.vision.rectify import cut, pyramid

STILL_S = 0.25
"""How long nothing may move before a card is taken."""

MOVED = 6.0
"""A field of the frame that changes by more grey levels than this from one look to the next has moved."""

_FIELDS = (64, 48)
_VIEW = (126, 176)


class Lying:
    """Looks at one frame after another. `seen` is what the card looked like that was taken last.

    A card is new when nothing moves and it looks other than the one before, or when the place was
    empty in between. Nudging a card, or a hand that passes over it, makes no new one. Times are
    seconds of any one clock.
    """

    def __init__(self, seen: bytes = b"", *, still_s: float = STILL_S) -> None:
        self._seen = seen
        self._still_s = still_s
        self._before: NDArray[np.float32] | None = None
        self._since: float | None = None
        self._judged = False
        self._code = b""
        self.outline: Corners | None = None

    def look(self, now: float, frame: Frame) -> bool:
        """Look at a frame (height x width x 3, BGR), and say whether a new card lies still in it."""
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        fields = cv2.resize(grey, _FIELDS, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._before = self._before, fields
        if before is None or float(np.abs(fields - before).max()) > MOVED:
            self._since, self._judged = now, False
            return False
        if self._judged or self._since is None or now - self._since < self._still_s:
            return False
        if not self.find(frame):
            self._seen = b""
            return False
        return difference(self._code, self._seen) > ALIKE

    def find(self, frame: Frame) -> bool:
        """Look for a card in a frame, whether it lies still or not; say whether there is one."""
        self._judged = True
        self.outline, self._code = None, b""
        height, width = frame.shape[:2]
        levels = pyramid(frame)
        for quad in propose(frame):
            if looks_like_card(quad, width, height):
                view = cut(levels, quad, *_VIEW)
                if not is_plain(view):
                    self.outline, self._code = quad, fingerprint(view)
                    return True
        return False

    @property
    def code(self) -> bytes:
        """What the card looks like that was found last."""
        return self._code

    def again(self) -> None:
        """Judge what lies there once more, as after a camera came back."""
        self._before, self._since, self._judged = None, None, False

    def taken(self) -> None:
        """Learn that the card that was found last is counted."""
        self._seen = self._code
