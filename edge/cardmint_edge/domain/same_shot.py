"""Whether two files show one shot: a photo in two formats, an edited copy, a thumbnail."""

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.fingerprint import AGAIN, difference, fingerprint

SAME_FIELD = 12.0
"""Greatest difference of any field of the fingerprints of one shot in two formats, in grey levels.

Another card in the same place differs by far more somewhere, however small it is in the frame.
"""
ENOUGH_PIXELS = 256
"""Pixels of a frame's shorter side that a fingerprint of the whole frame needs."""


FINE = 96
"""Fields a side by which a picture that was saved again is known."""
SAVED_AGAIN = 6.0
"""Greatest difference of any of them, in grey levels, of one picture that was saved twice.

Another copy of the card, a few pixels beside the first one's place, differs by more at its edges.
"""


class SameShot(Enum):
    """The answer."""

    YES = "yes"
    NO = "no"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class PhotoMark:
    """What is kept of a file to compare with: when it was taken, and the frame's fingerprint.

    `taken` is the camera's own time to the second, `fraction` the digits after it. Either is empty
    where the file does not say.
    """

    taken: str
    fraction: str
    code: bytes


def mark_of(frame: Frame, taken: tuple[str, str]) -> PhotoMark:
    """Return the mark of a frame."""
    step = max(min(frame.shape[:2]) // ENOUGH_PIXELS, 1)
    return PhotoMark(*taken, fingerprint(np.ascontiguousarray(frame[::step, ::step])))


def same_shot(one: PhotoMark, other: PhotoMark) -> SameShot:
    """Return whether two files show one shot. Unclear where a person must say."""
    timed = bool(one.taken and other.taken)
    if timed and one.taken != other.taken:
        return SameShot.NO
    if timed and one.fraction and other.fraction and one.fraction != other.fraction:
        return SameShot.NO
    first, second = (
        np.frombuffer(mark.code, dtype=np.uint8).astype(np.float32) for mark in (one, other)
    )
    if np.abs(first - second).max() < SAME_FIELD:
        return SameShot.YES
    if not timed and difference(one.code, other.code) >= AGAIN:
        return SameShot.NO
    return SameShot.UNCLEAR


def fine_mark(frame: Frame) -> bytes:
    """Return the lightness of `FINE` x `FINE` fields of a frame."""
    small = cv2.resize(frame, (FINE, FINE), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).tobytes()


def saved_again(one: bytes, other: bytes) -> bool:
    """Return whether two fine marks are of one picture, either of which may be turned."""
    first, second = (
        np.frombuffer(code, np.uint8).reshape(FINE, FINE).astype(np.float32)
        for code in (one, other)
    )
    return any(np.abs(first - np.rot90(second, turn)).max() < SAVED_AGAIN for turn in range(4))
