"""Whether two files show one shot: a photo in two formats, an edited copy, a thumbnail."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.fingerprint import AGAIN, difference, fingerprint

SAME_FIELD = 12.0
"""Greatest difference of any field of the fingerprints of one shot in two formats, in grey levels.

Another card in the same place differs by far more somewhere, however small it is in the frame.
"""
ENOUGH_PIXELS = 256
"""Pixels of a frame's shorter side that a fingerprint of the whole frame needs."""


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
