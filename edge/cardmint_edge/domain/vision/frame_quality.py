"""What is noticed of a frame beside its best candidate.

Reasons for a person to look, or to count nothing.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.domain.decide import Circumstances
from cardmint_edge.domain.reading.strips import LIKELIEST
from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.vision.contours import looks_like_card
from cardmint_edge.domain.vision.hashing import HASH_SIZE
from cardmint_edge.domain.vision.matching import VIEW_SIZE
from cardmint_edge.domain.vision.rectify import cut, sides

DARK = 20
"""A frame whose mean is below this many grey levels shows nothing."""

CUT_OFF = 0.06
"""More than this share of the card's height may not lie outside of the frame."""

BLURRED = 5
"""A sharp card's Laplacian deviates by more than this many grey levels."""

WHITE = 250
"""No detail is left in what is brighter than this many grey levels."""

GLARE = 0.25
"""More than this share of where a number stands is white with light, and not of the rest of the card."""

BACK = 0.5
"""Above this correlation with its own half turn it is a back.

One front in a thousand reaches it.
"""


def notice(
    levels: list[Frame],
    quad: Corners | None,
    guesses: list[Corners],
    also_matched: list[Corners],
    *,
    clear: int,
    known: bool,
) -> Circumstances:
    """Look around the best candidate's corners.

    At the other guesses, and at where other candidates matched well.

    `clear` guesses, the first, are surely outlines of cards. What is `known`, its picture being
    recognised, is not looked at as a card's back.
    """
    frame = levels[0]
    dark = float(levels[-1].mean()) < DARK
    if quad is None:
        return Circumstances(too_dark=dark, card_shaped=False)
    size = np.array(frame.shape[1::-1], dtype=np.float32)
    outside = float(np.maximum(-quad, quad - size).max()) / sides(quad)[1]
    grey = cv2.cvtColor(cut(levels, quad, *VIEW_SIZE), cv2.COLOR_BGR2GRAY)
    shaped = [other for other in guesses if looks_like_card(other, frame.shape[1], frame.shape[0])]
    return Circumstances(
        several_cards=_several(quad, guesses)
        or any(_beside(quad, other) for other in also_matched),
        cut_off=outside > CUT_OFF,
        blurred=float(np.std(cv2.Laplacian(grey, cv2.CV_32F))) < BLURRED,
        glare=glaring(grey),
        too_dark=dark,
        # A whole frame with a card in its middle is like its own half turn too: guesses count only
        # without outlines.
        card_back=not known
        and any(
            half_turn_likeness(cut(levels, other, *HASH_SIZE)) > BACK
            for other in (guesses[:clear] or like_cards(guesses))[:3]
        ),
        card_shaped=bool(shaped),
    )


def like_cards(guesses: list[Corners]) -> list[Corners]:
    """Return the guesses that have a card's proportions, seen from above or aslant, also those that leave the frame."""
    return [quad for quad in guesses if 0.6 < (lengths := sides(quad))[0] / lengths[1] < 0.9]


def glaring(card: NDArray[np.generic]) -> bool:
    """Return whether light drowns one of the places where numbers stand on a card (VIEW_SIZE, grey)."""
    white = np.asarray(card, np.uint8) >= WHITE
    wide, tall = VIEW_SIZE
    shares = []
    for place in LIKELIEST:
        left = round(wide * place.left)
        shares.append(
            float(
                white[
                    round(tall * (place.middle - 0.02)) :, left : left + round(wide * place.width)
                ].mean()
            )
        )
    return max(shares) > GLARE + float(white.mean())


def half_turn_likeness(view: Frame) -> float:
    """Return how a card correlates with itself turned by half.

    The backs of many games do, hardly any front does.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(view, cv2.COLOR_BGR2GRAY), (0, 0), 1.2)
    height, width = grey.shape
    inner = grey[height // 12 : -(height // 12), width // 12 : -(width // 12)].astype(np.float32)
    deviation = float(inner.std())
    if deviation < 1:
        return 0.0
    level = (inner - inner.mean()) / deviation
    return float((level * level[::-1, ::-1]).mean())


def _several(quad: Corners, guesses: list[Corners]) -> bool:
    """Return whether another thing of a card's shape and about this card's size lies beside it."""
    area = cv2.contourArea(quad)
    for other in guesses:
        short, long = sides(other)
        beside = cv2.contourArea(other)
        if 0.6 < short / long < 0.86 and 0.4 < beside / area < 2.5:
            shared, _ = cv2.intersectConvexConvex(quad, other)
            if shared < 0.1 * min(area, beside):
                return True
    return False


def _beside(quad: Corners, other: Corners) -> bool:
    """Return whether two matched cards lie in different places, overlapping or not."""
    shared, _ = cv2.intersectConvexConvex(quad, other)
    return bool(shared < 0.6 * min(cv2.contourArea(quad), cv2.contourArea(other)))
