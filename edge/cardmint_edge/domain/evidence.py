"""Evidence about one frame, gathered by pictures and by print, and judged in `decide`.

Every printing that a channel proposed is a candidate, with one and the same set of evidence. What
was not looked for, or cannot be read here, is None. Scores of print are natural logarithms of
likelihoods, about 0 at best; leads are a score minus that of the best rival.
"""

from dataclasses import dataclass

from cardmint_contracts.cards import Card


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureScores:
    """How well a reference of a printing's art matches the card.

    `likeness` is the correlation (0 to 1) of the two, `inliers` the number of features that agree.
    Twins share their scores: which of them has its scan in the pack says nothing about the card.
    """

    likeness: float
    inliers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintScores:
    """Scores (log) of what is printed on the card, against what the printing's cards say.

    `health` is None for a printing without health points. `health_lead`, `artist` and `attack` are
    leads, 0 where nothing was looked for or read.
    """

    number: float
    number_lead: float
    name: float
    name_lead: float
    health: float | None = None
    health_lead: float = 0.0
    artist: float = 0.0
    attack: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A printing, and all evidence about it.

    `art` names the art whose picture was compared: printings with one art are twins. It is the
    printing's own identifier where no picture was compared.
    """

    card: Card
    art: str
    picture: PictureScores | None = None
    prints: PrintScores | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameQuality:
    """What is wrong with the frame. `glare` stands for light that drowns a number's place.

    `card_shaped` says whether the frame holds anything with a card's outline, `misshapen` whether
    it clearly holds an outline without a card's proportions: two cards, or one far aslant.
    """

    several_cards: bool = False
    cut_off: bool = False
    blurred: bool = False
    glare: bool = False
    too_dark: bool = False
    card_back: bool = False
    card_shaped: bool = True
    misshapen: bool = False

    @property
    def clear(self) -> bool:
        """Whether the frame shows one whole card well."""
        faults = (self.several_cards, self.cut_off, self.blurred, self.glare, self.too_dark)
        return self.card_shaped and not self.card_back and not any(faults)


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Everything that was gathered about one frame.

    `searched` says whether the whole catalogue was searched by print. `unknown_number` is a number
    with its total that stands clearly on the card and that no printing has; empty without one.
    `languages` holds the log-likelihood of each language by the sign of the health points and by
    names, relative to the best: empty where neither can be read, None where neither was looked for.
    """

    candidates: tuple[Candidate, ...]
    quality: FrameQuality
    searched: bool = False
    unknown_number: str = ""
    languages: dict[str, float] | None = None
