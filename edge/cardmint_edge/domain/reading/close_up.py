"""A photo of a card's lower edge alone: its number, read without an outline of the card."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cardmint_contracts.cards import Candidate, Card, Decision
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts
from cardmint_edge.domain.reading.clear_numbers import clear_numbers, unpadded
from cardmint_edge.domain.reading.ctc import Reading, text_scores
from cardmint_edge.domain.reading.lexicon import LANGUAGE_CODES
from cardmint_edge.domain.reading.strips import StripReader, normalised
from cardmint_edge.domain.recognition import Recognition
from cardmint_edge.domain.vision.view import STRIP_SIZE, View

WIDTHS = (0.22, 0.34)
"""Widths of the strips that are read, as shares of the photo's width."""

STEP = (96, 12)
"""Steps from strip to strip, across and down, in pixels of a strip."""

MIN_CONTRAST = 8
"""Deviation of a strip, in grey levels, below which nothing stands in it."""

CLEAR_LETTER = 0.8
"""Probability from which a letter counts as read."""

AGREEING = 2
"""In how many strips a number must be read, and how many times as often as any other."""

CONFIDENCE = 0.95
"""Confidence (0 to 1) of a card that a close-up settles: 16 of 16 labelled ones are right."""

CODE_LEAD = 2.0
"""Least lead (log) of a set's code, or of a language's, over others to count as read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CloseUp:
    """What a close-up shows.

    `number` has the set's total, `cards` are the printings that have it: those of one set where its
    code was read. `language` is empty where its code was not read.
    """

    number: str
    cards: tuple[str, ...]
    language: str = ""


def read_close_up(
    view: View,
    reader: StripReader,
    texts: CatalogueTexts,
) -> CloseUp | None:
    """Return the number on a photo that shows the lower edge of a card, upright.

    None where no number is read in enough strips, or another nearly as often.
    """
    found: list[tuple[str, Reading]] = []
    for strip in _strips(view):
        reading = reader(strip)
        found += [(number, reading) for number in clear_numbers(reading, CLEAR_LETTER)]
    counted = Counter(number for number, _ in found)
    number, count = counted.most_common(1)[0] if counted else ("", 0)
    rival = max((times for other, times in counted.items() if other != number), default=0)
    if count < AGREEING * max(1, rival):
        return None
    cards = texts.cards_numbered(number) or texts.cards_numbered(unpadded(number))
    readings = [reading for other, reading in found if other == number]
    return _by_code(readings, number, {card_id: texts.code(card_id) for card_id in cards})


def settled(
    recognition: Recognition, close_up: CloseUp | None, asked: Sequence[Card]
) -> Recognition:
    """Return what a close-up makes of a card that may be any of `asked`.

    It is accepted where the number is that of exactly one of them.
    """
    if close_up is None:
        return recognition
    named = [card for card in asked if card.id in close_up.cards]
    if len(named) != 1:
        return recognition
    languages = recognition.languages
    if close_up.language:
        languages = {one: 0.0 if one == close_up.language else -CODE_LEAD for one in LANGUAGE_CODES}
    return replace(
        recognition,
        decision=Decision.ACCEPT,
        reasons=(),
        card=named[0],
        confidence=CONFIDENCE,
        margin=CONFIDENCE,
        candidates=(Candidate(card=named[0], confidence=CONFIDENCE),),
        languages=languages,
    )


def _by_code(
    readings: list[Reading],
    number: str,
    codes: Mapping[str, str],
) -> CloseUp:
    """Choose among printings, by the codes of their sets, and the language beside the code."""
    ways = [
        (card_id, language, f"{code}{space}{sign} {number}")
        for card_id, code in codes.items()
        if code
        for language, sign in LANGUAGE_CODES.items()
        for space in ("", " ")
    ]
    scores = text_scores(readings, [text for *_, text in ways], number=True)
    by_card: dict[str, float] = {}
    by_language: dict[str, float] = {}
    for (card_id, language, _), score in zip(ways, scores.max(axis=0).tolist(), strict=True):
        by_card[card_id] = max(by_card.get(card_id, -np.inf), score)
        by_language[language] = max(by_language.get(language, -np.inf), score)
    card = _leading(by_card)
    return CloseUp(
        number=number, cards=(card,) if card else tuple(codes), language=_leading(by_language)
    )


def _leading(scores: dict[str, float]) -> str:
    """Return what leads clearly; empty where nothing does."""
    ordered = sorted(scores, key=lambda one: -scores[one])
    if len(ordered) < 2 or scores[ordered[0]] - scores[ordered[1]] < CODE_LEAD:
        return ""
    return ordered[0]


def _strips(view: View) -> Iterator[NDArray[np.float32]]:
    """Yield every place of the photo that may hold a line."""
    width, height = STRIP_SIZE
    grey = cv2.cvtColor(view.frame, cv2.COLOR_BGR2GRAY)
    for share in WIDTHS:
        factor = width / (share * view.width)
        level = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        rows, columns = level.shape
        for top in range(0, rows - height + 1, STEP[1]):
            for left in range(0, columns - width + 1, STEP[0]):
                strip = level[top : top + height, left : left + width].astype(np.float32)
                if strip.std() >= MIN_CONTRAST:
                    yield normalised(strip)
