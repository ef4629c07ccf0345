"""Reason codes: why a card was not accepted, or why a person is asked about it.

The set is open on the wire (`wire.Code`): a reader shows a code that it does not know as it is.
"""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """A reason code. `description` says what it means."""

    description: str

    def __new__(cls, code: str, description: str) -> Self:
        """Make the reason with its code and description."""
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.description = description
        return reason

    NO_CARD_FOUND = "no-card-found", "The frame shows nothing with the outline of a card."
    LOOKS_LIKE_CARD_BACK = (
        "looks-like-card-back",
        "No printing was found, and the frame looks like the back of a card.",
    )
    UNKNOWN_CARD = (
        "unknown-card",
        "The catalogue has nothing like this card: a back, or another game or language.",
    )
    SAID_TO_BE_A_CARD = (
        "said-to-be-a-card",
        "The station found no card, and its operator says that there is one.",
    )
    TOO_DARK = "too-dark", "The frame is too dark to judge."
    SEVERAL_CARDS = "several-cards", "More than one card lies in the frame."
    CUT_OFF = "cut-off", "A corner of the card lies outside the frame."
    CARD_BACK = "card-back", "Print was read on a frame that looks like the back of a card."
    LOW_SIMILARITY = "low-similarity", "No reference picture resembles the card closely enough."
    OTHER_TITLE = "other-title", "The name on the card is not that of the printing."
    OTHER_PICTURE = "other-picture", "The picture is not that of the printing whose print was read."
    SAME_ART = (
        "same-art",
        "Several printings carry this art, and no number settles which one this is.",
    )
    NUMBER_UNREADABLE = "number-unreadable", "The collector number could not be read."
    OTHER_NUMBER = (
        "other-number",
        "The collector number is one that no printing of this art carries.",
    )
    SMALL_MARGIN = (
        "small-margin",
        "The runner-up is nearly as good as the first, in likeness or in score of print.",
    )
    LOW_CONFIDENCE = "low-confidence", "The confidence is below the threshold."
    OTHER_LANGUAGE = (
        "other-language",
        "The card bears the signs of another language than the one set for it.",
    )
    LANGUAGE_UNCLEAR = (
        "language-unclear",
        "The print does not tell for certain which language the card is in.",
    )
    GLARE = "glare", "Light drowns the place where a number stands."
    BLURRED = "blurred", "The frame is out of focus or moved."
    RECOGNITION_FAILED = "recognition-failed", "Recognition ended with an error."
    POSSIBLE_DUPLICATE = "possible-duplicate", "The card may be the one scanned just before."
    RANDOM_AUDIT = (
        "random-audit",
        "Chance drew this card, to measure how often counted cards are right.",
    )
    HIGH_VALUE = (
        "high-value",
        "The card is worth more than the limit above which a person must look.",
    )
    FINISH_NEEDED = "finish-needed", "The printing's finishes differ in price, and none is set."
    EDITION_NEEDED = "edition-needed", "The printing's editions differ in price, and none is set."
    NOT_IN_CATALOGUE = (
        "not-in-catalogue",
        "No printing fits what was read on it: it may be misread, or newer than the catalogue.",
    )
    OTHER_FINISH = "other-finish", "The printing does not exist in the finish that is set."
    OTHER_EDITION = "other-edition", "The printing does not exist in the edition that is set."
    DISK_SHORT = "disk-short", "Images are given up because the disk is nearly full."
