"""Detects a new card that lies still under a camera: one shot a card, however long it lies."""

from collections import deque

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

FLICKER = 0.08
"""Change of a row's or column's brightness that is light and no motion, as a share."""

STEADY = 0.02
"""Change of the frame's brightness, as a share, above which light or exposure still settles."""

SHARPENS = 1.1
"""Factor by which the frame's sharpness grows while the focus still settles."""

SHARP = 0.5
"""Deviation of the Laplacian over that of the card (126 x 176) below which a card is blurred.

Of 190 cards at 320 x 448 pixels two in a hundred have less than 0.6; blurred by two pixels, half
have less than 0.4.
"""

BRIGHT = 60.0
"""Grey level that the brightest fiftieth of a card reaches, below which it is too dark."""

WAIT_S = 3.0
"""Seconds that a card in steady light may stay blurred or dark before it is taken as it is."""

AGAIN_S = 0.25
"""Seconds after which what lies still is judged again, until it is clear what it is."""

EMPTY_AGAIN_S = 1.0
"""Seconds after which an empty place is judged again."""

UNSTEADY_S = 5.0
"""Seconds without stillness, although hardly anything changes, after which that is said."""

_FIELDS = (64, 48)
_VIEW = (126, 176)
_SHARPNESS_SIZE = (320, 240)
_SMALL_CHANGE = 60.0
_OFFSET = 8.0
"""Grey levels added before brightness is compared, so that noise in the dark is no change."""

FLICKERS = (
    "the light flickers, so nothing seems to lie still; set the camera's anti-flicker to the mains"
    " (50 or 60 Hz), or use another lamp"
)
UNSTEADY = (
    "the brightness does not settle; set the camera's exposure by hand, or let the lamp warm up"
)
BLURRED = "the cards stay blurred; set the camera's focus by hand, or move it away from the cards"
DARK = "the cards are too dark; give them more light, or the camera a longer exposure"


class NewCardDetector:
    """Watches frames, one after another, for a new card that lies still.

    A card is new when nothing moves and its fingerprint differs from that of the card before, or
    when the place was empty in between. A nudge, or a hand that passes over, makes no new card, and
    neither do darkness and flickering light. It is taken once light and focus have settled.
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
        self._looks: deque[tuple[float, float, float]] = deque()
        """Time, brightness and sharpness of each frame that lies still, at most for a second."""
        self._steady_since: float | None = None
        self._judge_at = 0.0
        self._judged = False
        self._empty = False
        self._ground: float | None = None
        """Grey level of the place around the last card that was found."""
        self._troubled_since: float | None = None
        self._fingerprint = b""
        self._card: Frame | None = None
        self.outline: Quad | None = None
        self.stack = False
        """Whether copies are laid upon each other: a hand that passed has laid another card."""
        self.trouble = ""
        """What keeps cards from being taken, or from being taken well; empty while all is well."""

    def watch(self, now: float, frame: Frame) -> bool:
        """Take the next frame (height x width x 3, BGR); return whether a new card lies still."""
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        fields = cv2.resize(grey, _FIELDS, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._before = self._before, fields
        change = np.inf if before is None else _change(before, fields)
        if change > MOVED:
            small = before is not None and float(np.abs(fields - before).max()) < _SMALL_CHANGE
            self._note_trouble(now, FLICKERS if small else "")
            if self.stack and before is not None and not small:
                self._last = b""
            self._restart(now)
            return False
        if not self._is_steady(now, np.asarray(grey, np.uint8), float(fields.mean())):
            return False
        if self._judged or now < self._judge_at:
            return False
        return self._judge(now, frame)

    def find(self, frame: Frame) -> bool:
        """Find a card in a frame, whether it lies still or not; return whether there is one."""
        self._judged = True
        self.outline, self._fingerprint, self._card = None, b"", None
        height, width = frame.shape[:2]
        view = View(frame)
        for quad in contour_quads(frame, self._contours):
            if has_card_shape(quad, width, height):
                card = view.cut(quad, *_VIEW)
                if not is_plain(card):
                    self.outline, self._fingerprint = quad, fingerprint(card)
                    self._card = card
                    return True
        return False

    @property
    def fingerprint(self) -> bytes:
        """Fingerprint of the card that was found last."""
        return self._fingerprint

    @property
    def place_was_empty(self) -> bool:
        """Whether the place was empty since the last counted card, or no card was counted yet."""
        return not self._last

    def reset(self) -> None:
        """Judge the card in place once more, as after a camera came back."""
        self._before, self._since, self._judged = None, None, False
        self.trouble = ""

    def confirm(self) -> None:
        """Remember the card that was found last as counted."""
        self._last = self._fingerprint

    def _restart(self, now: float) -> None:
        self._since, self._judged, self._empty = now, False, False
        self._judge_at = now + self._still_s
        self._steady_since = None
        self._looks.clear()

    def _is_steady(self, now: float, grey: NDArray[np.uint8], mean: float) -> bool:
        """Return whether light, exposure and focus have settled since nothing moves.

        The later half of the time is compared with the earlier one, so that flicker is no change.
        """
        small = cv2.resize(grey, _SHARPNESS_SIZE, interpolation=cv2.INTER_AREA)
        self._looks.append((now, mean, float(np.std(cv2.Laplacian(small, cv2.CV_32F)))))
        while now - self._looks[0][0] > 1.0:
            self._looks.popleft()
        if now < self._judge_at:
            return True
        looks = np.array(self._looks)
        late = looks[:, 0] > (looks[0, 0] + now) / 2
        early, later = looks[~late].mean(axis=0), looks[late | (looks[:, 0] == now)].mean(axis=0)
        lighter = abs(later[1] - early[1]) > STEADY * (early[1] + _OFFSET)
        if lighter or later[2] > SHARPENS * (early[2] + 1):
            self._note_trouble(now, UNSTEADY if lighter else "")
            self._steady_since = None
            self._judge_at = now + self._still_s / 2
            while now - self._looks[0][0] > self._still_s / 2:
                self._looks.popleft()
            return False
        if self._steady_since is None:
            self._steady_since = now
        return True

    def _judge(self, now: float, frame: Frame) -> bool:
        waited = self._steady_since is not None and now - self._steady_since >= WAIT_S
        if not self.find(frame):
            self._judged = False
            # A card in the dark, or out of focus for a moment, is not away.
            if self._empty:
                self._last = b""
            self._empty = self._is_lit(frame)
            self._judge_at = now + (EMPTY_AGAIN_S if waited else AGAIN_S)
            return False
        self._empty, self._ground = False, _border(frame)
        fault = _fault(self._card) if self._card is not None else ""
        if fault and not waited:
            self._judged = False
            self._judge_at = now + AGAIN_S
            return False
        self.trouble = fault
        self._troubled_since = None
        return difference(self._fingerprint, self._last) > ALIKE

    def _is_lit(self, frame: Frame) -> bool:
        """Return whether a frame without a card is bright enough to show one."""
        if self._ground is None:
            return _brightest(frame) >= BRIGHT
        return _border(frame) + _OFFSET > (self._ground + _OFFSET) / 2

    def _note_trouble(self, now: float, trouble: str) -> None:
        """Say a trouble once it has lasted."""
        if not trouble:
            self._troubled_since = None
        elif self._troubled_since is None:
            self._troubled_since = now
        elif now - self._troubled_since >= UNSTEADY_S:
            self.trouble = trouble


def _change(before: NDArray[np.float32], fields: NDArray[np.float32]) -> float:
    """Return the greatest change of a field, in grey levels, without that of the light.

    Bands of flicker lie along the rows or the columns of the sensor.
    """
    first, second = before + _OFFSET, fields + _OFFSET
    ratio = second / first
    changes = []
    for axis in (1, 0):
        light = np.clip(np.median(ratio, axis=axis, keepdims=True), 1 - FLICKER, 1 + FLICKER)
        changes.append(float(np.abs(second - first * light).max()))
    return min(changes)


def _fault(card: Frame) -> str:
    """Return what is wrong with a card's picture; empty if it can be taken."""
    grey = cv2.cvtColor(card, cv2.COLOR_BGR2GRAY)
    if _brightest(card) < BRIGHT:
        return DARK
    sharpness = float(np.std(cv2.Laplacian(grey, cv2.CV_32F))) / max(8.0, float(grey.std()))
    return BLURRED if sharpness < SHARP else ""


def _border(frame: Frame) -> float:
    """Return the median grey level along a frame's edges."""
    edges = (frame[0], frame[-1], frame[:, 0], frame[:, -1])
    return float(np.median(np.concatenate(edges)))


def _brightest(frame: Frame) -> float:
    """Return the grey level that a fiftieth of a frame reaches."""
    return float(np.percentile(frame[::4, ::4].max(axis=2), 98))
