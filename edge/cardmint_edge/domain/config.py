"""The numbers that recognition decides by: thresholds and limits, each with its unit and source.

Sizes that a model or a pack fixes (of hashes, thumbnails, strips) stay beside the code that makes
them. "Log" stands for natural logarithms of likelihoods, about 0 at best.
"""

from dataclasses import dataclass, field
from hashlib import sha256

RULES = 5
"""Version of the rules that the numbers feed; raised when the code decides otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContourConfig:
    """Quads from contours (`vision.contours`). Source: docs/decisions/0010."""

    work_side: int = 640
    """Longer side of the frame that contours are taken from, in pixels."""
    min_area: float = 0.015
    """Least share of the frame that a card covers."""
    ratios: tuple[float, float] = (0.52, 0.92)
    """Width over height of a card in perspective; 0.716 when seen from straight above."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinderConfig:
    """Cards from the finder's map (`vision.finder`), and proposals (`vision.proposals`).

    Source: docs/decisions/0012, measured on drawn scenes, unless a field says otherwise.
    """

    contours: ContourConfig = field(default_factory=ContourConfig)
    min_core: int = 60
    """Least area of a card's core, in pixels of the map (96 x 128)."""
    band: int = 9
    """Greatest distance from the core to the card's outline, in pixels of the map."""
    enlarged: int = 4
    """Factor by which the map is enlarged before its contour is taken."""
    inset: float = 1.0
    """How far the map reaches beyond the card on each side, in pixels of the map."""
    near: float = 0.7
    """A card that covers less than this share of the frame is looked at again, enlarged to it."""
    refined: int = 3
    """How many cards, the largest, are looked at again and refined."""
    filled: float = 0.7
    """Least share of the quad that the card fills; a hand may hide the rest."""
    min_presence: float = 0.6
    """Least mean probability, over a card's core, that it is a card."""
    fine_side: int = 1000
    """Longer side of the frame on which sides are refined, in pixels."""
    outer_edge: float = 0.6
    """Strength of an outer edge, relative to the strongest, from which it is the card's own."""
    coarse: float = 0.05
    """How far from a side its edge is looked for at first, as a share of the card's height."""
    fine: float = 0.02
    """How far it is looked for the second time, as a share of the card's height."""
    certain: float = 0.9
    """Presence above which no contours are proposed beside the finder's outlines."""
    outlines: int = 3
    """How many outlines are embedded, and read, when no hash is near."""
    least_read: float = 0.22
    """Least height of what is read, as a share of the frame's shorter side."""
    read_contours: int = 2
    """How many contours are read after the outlines. Source: docs/decisions/0015."""
    same_outline: float = 0.95
    """Overlap (intersection over union) above which two quads are one."""
    contour_side: int = 1200
    """Longer side of the frame that contours are proposed from, in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityConfig:
    """What is wrong with a frame (`vision.frame_quality`). Source: docs/decisions/0010 and 0013."""

    dark: float = 20
    """Mean of a frame, in grey levels, below which it shows nothing."""
    cut_off: float = 0.06
    """Share of the card's height that may lie outside of the frame."""
    blurred: float = 5
    """Deviation of the Laplacian, in grey levels, below which a card is blurred."""
    white: int = 250
    """Grey level from which on no detail is left."""
    glare: float = 0.25
    """White share of a number's place, beyond the card's own white share, that is glare."""
    back: float = 0.5
    """Correlation with its half turn above which a card is a back; one front in 1,000 has it."""
    back_alike: float = 0.55
    """Likeness to photographed backs (-1 to 1) above which a card is a back. Source: 0082."""
    grown: float = 1.06
    """Factor by which a card's outline is enlarged before another card is looked for beyond it."""
    near: float = 1.16
    """Factor by which it is enlarged to see what touches it."""
    touching: float = 0.06
    """Share of the card's area from which on what touches it is another card. Source: 0068."""
    small: float = 0.6
    """A card that covers less than this share of the frame is small."""
    seen_closer: float = 0.15
    """Probability above which a place of the enlarged frame shows a card."""
    touching_closer: float = 0.1
    """As `touching`, where the part around the card is looked at again, enlarged."""
    touching_large: float = 0.13
    """The same around a card that is not small. Source: docs/decisions/0082."""
    large: float = 0.75
    """A card that covers this share of the frame is not looked at again."""
    spanning: float = 1.2
    """Factor by which an outline may be wider or narrower than a card. Source: 0082."""
    edge: float = 3
    """By how many pixels a whole card's outline may lie outside of the frame."""
    outlined: int = 9
    """How many cards are outlined, where several lie in a frame."""
    apart: float = 0.15
    """Share of the card's area from which on what lies apart is another card. Source: 0068."""
    as_wide: float = 0.6
    """Least width and height of what lies apart, as a share of the card's width. Source: 0105."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MatcherConfig:
    """Search and comparison of pictures (`picture_search`, `vision.matching`).

    Source: docs/decisions/0010 and 0014.
    """

    tried: int = 10
    """Number of quads, after the clear outlines, that are hashed in one round."""
    most_tried: int = 30
    """Number of quads that are hashed in all rounds."""
    nearest: int = 8
    """Number of references, nearest by hash, taken for each quad; also the most compared in all."""
    resembling: int = 4
    """Number of references, most similar by embedding, that are compared."""
    rivals: int = 2
    """Number of further references that are compared where one has settled already."""
    settled: float = 0.75
    """Likeness from which on a reference settles its place."""
    same_place: float = 0.7
    """Overlap above which two quads are one place."""
    sure: float = 0.9
    """Likeness from which on a comparison is not repeated with better corners."""
    min_contrast: float = 12
    """Deviation of a card, in grey levels, below which its hash would be noise."""
    min_matches: int = 8
    """Least number of feature pairs that a homography is fitted to."""
    distance_ratio: float = 0.85
    """Greatest ratio of a pair's distance to the second best's (Lowe's ratio test)."""
    displacement: float = 0.16
    """Greatest displacement of a feature from its place, as a share of the card's height."""
    plausible: float = 0.25
    """Greatest displacement of a corner, as a share of the card's mean side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreadCosts:
    """What a text costs at most when it is not read (log): glare, wear and blur hide each."""

    number: float = -11.0
    name: float = -9.0
    health: float = -4.0
    no_health: float = -1.5
    """Cost for a card that has no health points to be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReaderConfig:
    """Reading and scoring of print (`reading.print_reader`).

    Source: docs/decisions/0011 to 0015.
    """

    min_height: float = 420
    """Least height of a card that is read, in pixels: its digits are 7 pixels high."""
    shortlist: int = 100
    """How many cards, the likeliest by an upper bound, are scored exactly."""
    rivals: int = 40
    """How many other numbers, or names, are compared with a card's own."""
    close_rivals: int = 10
    """The same where the picture has named the printings."""
    unread: UnreadCosts = field(default_factory=UnreadCosts)
    clear_number: float = -2.0
    """Score (log) below which a number is looked for in more places."""
    number_lead: float = 1.0
    """Lead (log) over rivals in the strip below which a number is looked for in more places."""
    clear_card: float = -3.0
    """Score (log) of a card above which it may be read once only."""
    clear_lead: float = 8.0
    """Lead (log) of a card over any other above which it is read once only."""
    right_way_up: float = -9.0
    """Score (log) above which print lies the right way up and is looked for no further."""
    legible_letters: int = 8
    """Letters that are read clearly at the likeliest place, from which on it is scored first."""
    scored_places: int = 3
    """At how many places print is scored against the catalogue, at most."""
    clear_name: float = -5.0
    """Score (log) above which a name is surely there, and so is its number."""
    matches: int = 20
    """How many cards, the likeliest by number, name and health points, are candidates."""
    attacked: int = 8
    """How many of them, the likeliest, are told apart by attacks."""
    contained: float = 3.0
    """By how much (log) a text may fall behind one that stands within it: "Voltorb" is read in
    "Iono's Voltorb" even where a letter of "Iono's" is not."""
    untitled: float = -3.0
    """Score (log) up to which another title may be read where an energy has none: chance does."""
    clear_artist: float = -3.0
    """Score (log) below which no artist's name was read."""
    artist_lead: float = 4.0
    """Lead (log) of an artist's name over any other below which none was read."""
    clear_letter: float = 0.9
    """Probability from which a letter of a number that the catalogue lacks counts as read."""
    agreeing_strips: int = 2
    """In how many strips such a number must be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceWeights:
    """What each kind of evidence weighs in the posterior (log odds a unit).

    Fitted by `cardmint-lab recognition fit` (docs/decisions/0078, 0105). A weight whose kind can
    only speak for a printing is never negative.
    """

    pictured: float = -7.077
    """A picture was compared: what an unlike one costs."""
    likeness: float = 12.511
    alike: float = 0.0
    """Of likeness beyond `PolicyConfig.alike`."""
    inliers: float = 1.603
    """Of as many inliers as saturate."""
    printed: float = 4.91
    """Print was read."""
    number: float = 0.559
    number_lead: float = 0.389
    name: float = 0.0
    name_lead: float = 0.737
    number_and_name: float = 1.144
    """Of the smaller of the two leads, where both are positive: they agree on a printing."""
    number_and_health: float = 0.076
    """The same of the leads of number and health points."""
    health: float = 0.814
    no_health: float = -1.937
    """The printing has no health points that could be read."""
    artist: float = 0.505
    attack: float = 0.796
    outside: float = 2.623
    """The card is none of the candidates, before any evidence."""
    outside_searched: float = 2.017
    """The same after the whole catalogue was searched by print."""
    unknown_number: float = 7.536
    """A number that no printing has stands on the card."""
    sharpness: float = 1.061
    """Factor of all log odds, fitted on real photos alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyConfig:
    """What it takes to accept a card (`posterior`, `decide`).

    Source: docs/decisions/0078, 0105. The defaults are the station's; no setting changes them.
    """

    weights: EvidenceWeights = field(default_factory=EvidenceWeights)
    accept: float = 0.985
    """Least posterior (0 to 1) of a printing that is accepted."""
    settled: float = 0.99
    """Posterior (0 to 1) from which print is not searched."""
    worth_reading: float = 0.1
    """Posterior (0 to 1) below which the larger reader reads no further."""
    unknown: float = 0.15
    """Posterior (0 to 1) of the likeliest candidate below which none is proposed: 0082."""
    max_confidence: float = 0.995
    """Highest confidence that is ever given."""
    likeness: float = 0.65
    """Likeness (0 to 1) from which a picture is surely the card's."""
    alike: float = 0.5
    """Likeness (0 to 1) from which on strangers are rare."""
    unlike: float = 0.3
    """Likeness (0 to 1) below which a picture is unlike."""
    saturated_inliers: int = 60
    unread: float = -12.0
    """Score (log) of a number or name below which it says nothing more against a printing."""
    unread_health: float = -6.0
    """The same of health points."""
    saturated_lead: float = 3.0
    """Lead (log) over the best rival that says all that a lead alone can say, for or against."""
    unclear: float = 3.0
    """How much of a number's negative score (log) is taken from its lead."""
    clear_lead: float = 9.0
    """The same of two leads together."""
    clear_number: float = -2.0
    """Score (log) above which a number was read."""
    rival_number: float = -3.0
    """The same of another number than the printing's, whose own was not: 0108."""
    clear_name: float = -5.0
    """Score (log) from which a name was read."""
    clear_name_lead: float = 4.0
    """Lead (log) over any other name from which it is surely this one."""
    newer_odds: float = 2.0
    """How much likelier than any printing none of them must be: 0074."""
    least_name: int = 4
    """Letters from which a name is not read by chance."""
    reprints: tuple[str, ...] = ("cel25c",)
    """Sets whose cards bear number, total, name and picture of another set's card: 0108."""
    compared_prints: int = 4
    """How many cards, found by print, are compared with their own pictures."""
    candidates: int = 5
    """How many candidates a result names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageConfig:
    """How a card's language is told (`language`). Source: docs/decisions/0078."""

    set_prior: float = 0.9
    """Probability (0 to 1), before anything is read, of the language that is set for the batch."""
    english_prior: float = 0.8
    """The same of English, when no language is set."""
    accept: float = 0.97
    """Least confidence (0 to 1) of the language of a card that is accepted."""
    clear: float = 0.99
    """Confidence (0 to 1) from which no more running text is read for the language."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecognitionConfig:
    """Every number that recognition decides by."""

    finder: FinderConfig = field(default_factory=FinderConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    matcher: MatcherConfig = field(default_factory=MatcherConfig)
    reader: ReaderConfig = field(default_factory=ReaderConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)

    @property
    def rules_version(self) -> str:
        """Version of rules and numbers together: another number is another version."""
        return f"{RULES}-{sha256(repr(self).encode()).hexdigest()[:8]}"
