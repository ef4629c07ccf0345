"""Evidence about one frame, gathered by pictures and by print, and judged in `decide`.

Scores of print are natural logarithms of likelihoods, about 0 at best.
"""

from dataclasses import dataclass

from cardmint_contracts.cards import Card


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureMatch:
    """A printing, and how well its reference matches the card.

    `likeness` and `title` are correlations (0 to 1) of the picture and of the strip with the name,
    `inliers` the number of features that agree. `twins` are the other printings of the same art,
    with and without a picture.
    """

    card: Card
    likeness: float
    title: float
    inliers: int
    twins: tuple[Card, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberScores:
    """Scores (log) of collector numbers on a card whose art was matched.

    `own` holds those of the printings of this art, by card id. `rival_in_strip` is the best score
    of another number in the strip where an own number reads best, `best_other` that in any strip.
    """

    own: dict[str, float]
    rival_in_strip: float
    best_other: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintMatch:
    """A printing, and the scores (log) of what is printed on the card.

    `total` adds up number, name and health points. `name_lead` is the score of its name minus that
    of the best other name. `artist` only orders cards that print leaves open: it is no part of
    `total`, and raises no confidence.
    """

    card: Card
    number: float
    name: float
    total: float
    name_lead: float
    artist: float = 0.0

    @property
    def rank(self) -> float:
        """Score (log) by which cards that print leaves open are ordered."""
        return self.total + self.artist


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintEvidence:
    """Cards found by print, likeliest first (at least one).

    `legible` says whether enough was read to judge by. `likeness` is that of the first card's own
    picture; None where that is not known.
    """

    matches: tuple[PrintMatch, ...]
    legible: bool = True
    likeness: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameQuality:
    """What is wrong with the frame. `glare` stands for light that drowns a number's place.

    `card_shaped` says whether the frame holds anything with a card's outline.
    """

    several_cards: bool = False
    cut_off: bool = False
    blurred: bool = False
    glare: bool = False
    too_dark: bool = False
    card_back: bool = False
    card_shaped: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything that was gathered about one frame.

    `pictures` are ordered by likeness, best first. `numbers` is None where no number was read,
    `prints` where no print was looked for.
    """

    pictures: tuple[PictureMatch, ...]
    quality: FrameQuality
    numbers: NumberScores | None = None
    prints: PrintEvidence | None = None
