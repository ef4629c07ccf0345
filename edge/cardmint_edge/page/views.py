"""The page as HTML."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from uuid import UUID

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from cardmint_contracts.cards import (
    Candidate,
    Card,
    CardId,
    Condition,
    Decision,
    Edition,
    Finish,
    Image,
    Language,
    Money,
    Outline,
    ScanDefaults,
)
from cardmint_contracts.currencies import digits
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_contracts.tasks import ReviewTask
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.domain.tally import NO_FIGURES, Figures
from cardmint_edge.page.languages import (
    NAMES,
    LanguageChoice,
    asks_language_alone,
    language_name,
    language_text,
)
from cardmint_edge.review_tasks import GivenAnswer, OverruledAnswer, ScanAnswer
from cardmint_edge.status import OutboxStatus

RECENT_SCANS = 20
_DIGEST = "{digest}"
MAX_CANDIDATES = 3
LEAST_OFFERED = 0.01
"""Confidence (0 to 1) from which a candidate beside the first is offered."""

NOT_A_CARD: frozenset[str] = frozenset(
    {
        Reason.NO_CARD_FOUND,
        Reason.LOOKS_LIKE_CARD_BACK,
        Reason.CARD_BACK,
        Reason.SEVERAL_CARDS,
        Reason.TOO_DARK,
        Reason.UNKNOWN_CARD,
        Reason.NOT_IN_CATALOGUE,
    }
)
"""Reasons for which no candidate is offered."""

VARIANT_REASONS: frozenset[str] = frozenset(
    {
        Reason.OTHER_FINISH,
        Reason.OTHER_EDITION,
        Reason.FINISH_NEEDED,
        Reason.EDITION_NEEDED,
    }
)

HEADINGS: Mapping[str, str] = {
    Reason.SEVERAL_CARDS: "More than one card lies there",
    Reason.LOOKS_LIKE_CARD_BACK: "This looks like the back of a card",
    Reason.CARD_BACK: "This looks like the back of a card",
    Reason.UNKNOWN_CARD: "Nothing in the catalogue is like this card",
    Reason.NOT_IN_CATALOGUE: "The catalogue seems to lack this card",
    Reason.TOO_DARK: "It is too dark to see a card",
    Reason.NO_CARD_FOUND: "No card was found",
}
"""What is said of a picture for which no candidate is offered, by its first such reason."""

ADVICE: Mapping[str, str] = {
    Reason.LOOKS_LIKE_CARD_BACK: "Turn the card over.",
    Reason.CARD_BACK: "Turn the card over.",
    Reason.UNKNOWN_CARD: "Turn the card over, or put it with other games and languages; a newer set"
    " needs a newer catalogue.",
    Reason.NOT_IN_CATALOGUE: "Search it by its number or name first: glare or a worn edge can hide"
    " the number. If it is not found, its set is newer than the catalogue: fetch and build that"
    " again. Dismiss a card of another game.",
    Reason.NO_CARD_FOUND: "Lay one card on a plain ground, whole and flat.",
    Reason.SEVERAL_CARDS: "Leave one card under the camera.",
    Reason.CUT_OFF: "Move the card so that all its corners are in the picture.",
    Reason.TOO_DARK: "Give it more light.",
    Reason.GLARE: "Turn the card or the lamp until nothing shines on it.",
    Reason.LANGUAGE_UNCLEAR: "Set the language above for a batch in one language.",
    Reason.BLURRED: "Hold the camera still, and let it focus.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StationView:
    """The content of the page's live part.

    `link`, `fault`, `problems` and `set_aside` (why the last capture was set aside) are
    sentences; an empty one is none. `originals` has, for the scan of a task, the earlier scan
    of which it is a possible duplicate. `answers` has what a person said about a scan, and
    `given` the answers from here that may be taken back. `copies` counts the questions whether
    a card came before, `stack` is whether copies of one card are laid upon each other now.
    `may_object` are rejected scans of which the operator may say that they show a card.
    `cloud_answers` is whether the cloud's questions are known here, so that `open_tasks` is all.
    `uploads` is whether images are uploaded at all. `languages` has, for the scan of a question
    about a language, the languages to choose from, `outlines` those of several cards in its image.
    `named` has, for each scan that shows one, its card or likeliest card, named in the card's
    language; `exists_as` the finishes in which the last one exists, none where none are known.
    `variants` has, for the scan of a question, the finishes and editions in which its first
    candidate exists.
    """

    status: OutboxStatus
    link: str
    connected: bool
    fault: str
    scans: Sequence[ScanRecord]
    tasks: Sequence[ReviewTask]
    open_tasks: int
    machine: "MachineSummary"
    originals: Mapping[UUID, ScanRecord] = field(default_factory=dict)
    outlines: Mapping[UUID, Sequence[Outline]] = field(default_factory=dict)
    languages: Mapping[UUID, Sequence[LanguageChoice]] = field(default_factory=dict)
    overruled: Sequence[OverruledAnswer] = ()
    scan_to_repeat: UUID | None = None
    uploads: bool = True
    uploads_paused: bool = False
    drain_s: float | None = 0.0
    has_live: bool = False
    notice: str = ""
    problems: Sequence[str] = ()
    price: "PriceSummary | None" = None
    cloud_answers: bool = True
    named: Mapping[UUID, Card] = field(default_factory=dict)
    exists_as: Sequence[Finish] = ()
    variants: Mapping[UUID, Mapping[str, Sequence[Finish] | Sequence[Edition]]] = field(
        default_factory=dict
    )
    figures: Figures = NO_FIGURES
    answers: Mapping[UUID, ScanAnswer] = field(default_factory=dict)
    given: Sequence[GivenAnswer] = ()
    files: Sequence["ListedFile"] = ()
    set_aside: str = ""
    can_capture: bool = False
    copies: int = 0
    may_object: frozenset[UUID] = frozenset()
    stack: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedFile:
    """A file or photo that gave no card. `parked`: it may be tried again or dismissed."""

    key: str
    name: str
    reason: str
    message: str
    parked: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceSummary:
    """The last known price of the last card, and its age in days."""

    money: Money
    source: str
    days: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineSummary:
    """Camera, disk, clock and versions, for the foot of the page.

    `catalogue_days` is the age of the pack's catalogue, None where it does not say; `newest_set`
    the set that came out last in it, `sets_since` those that came out after it was made.
    """

    camera: str
    disk_free_bytes: int
    clock_synced: bool
    pack: str
    version: str
    catalogue_days: int | None = None
    newest_set: str = ""
    sets_since: Sequence[str] = ()


class PageRenderer:
    """Renders the templates.

    `dashboard` and `phone_address` are addresses, empty for none. `can_capture` is whether the
    camera takes a photo on command.
    """

    def __init__(
        self,
        station: str,
        *,
        dashboard: str = "",
        phone_address: str = "",
        can_capture: bool = False,
    ) -> None:
        environment = Environment(
            loader=PackageLoader("cardmint_edge.page"), autoescape=True, undefined=StrictUndefined
        )
        environment.globals.update(
            station=station,
            dashboard=dashboard,
            phone_address=phone_address,
            can_capture=can_capture,
            finishes=list(Finish),
            editions=list(Edition),
            conditions=list(Condition),
            languages=list(NAMES),
            variants={
                Reason.OTHER_FINISH: ("finish", list(Finish)),
                Reason.OTHER_EDITION: ("edition", list(Edition)),
            },
            duplicate=Reason.POSSIBLE_DUPLICATE,
            audit=Reason.RANDOM_AUDIT,
        )
        environment.filters["duration"] = duration_text
        environment.filters["money"] = lambda money: (
            f"{digits(money.minor, money.currency)} {money.currency}"
        )
        environment.filters["words"] = lambda code: str(code).replace("_", " ").replace("-", " ")
        environment.filters["percent"] = percent
        environment.filters["kind"] = scan_kind
        environment.filters["outcome"] = scan_outcome
        environment.filters["known_card"] = known_card
        environment.filters["language"] = language_name
        environment.filters["language_text"] = scan_language
        environment.filters["variant_alone"] = asks_variant_alone
        environment.filters["language_alone"] = asks_language_alone
        environment.filters["advice"] = advice_on
        environment.filters["heading"] = heading
        environment.filters["drawn"] = drawn_outlines
        environment.filters["worth_offering"] = worth_offering
        environment.filters["no_card"] = lambda task: not NOT_A_CARD.isdisjoint(task.reasons)
        self._live = environment.get_template("live.html")
        self._page = environment.get_template("page.html")
        self._search_results = environment.get_template("search_results.html")
        self._pin = environment.get_template("pin.html")
        self._phone = environment.get_template("phone.html")

    def live(self, view: StationView) -> tuple[str, str]:
        """Return the live part and its digest, which changes with the content."""
        html = self._live.render(view=view, digest=_DIGEST)
        digest = blake2b(html.encode(), digest_size=8).hexdigest()
        return html.replace(_DIGEST, digest, 1), digest

    def page(self, view: StationView, defaults: ScanDefaults, saved: bool) -> str:
        """Return the whole page."""
        return self._page.render(
            live=self.live(view)[0], defaults=defaults, saved=saved, has_live=view.has_live
        )

    def search_results(self, task: UUID, version: int, query: str, cards: Sequence[Card]) -> str:
        """Return the cards that a search found, as answers to a task."""
        return self._search_results.render(task=task, version=version, query=query, cards=cards)

    def pin(self, error: str, then: str) -> str:
        """Return the page that asks for the PIN; `error` is empty at the first time.

        `then` is the page to which the PIN leads.
        """
        return self._pin.render(error=error, next=then)

    def phone(self) -> str:
        """Return the page that sends a phone's photos."""
        return self._phone.render()


def scan_kind(record: ScanRecord, answers: Mapping[UUID, ScanAnswer]) -> str:
    """Return what a scan is now: `counted`, `asked`, `none` or `withdrawn`."""
    if record.withdrawn:
        return "withdrawn"
    answer = answers.get(record.scan.scan)
    if answer is not None and answer.known:
        return "counted" if answer.card else "none"
    if record.scan.decision is Decision.REJECT:
        return "none"
    asked = record.scan.decision is Decision.REVIEW or record.scan.possible_duplicate_of
    return "asked" if asked else "counted"


def known_card(record: ScanRecord, answers: Mapping[UUID, ScanAnswer]) -> Card | None:
    """Return the card that a scan shows, as a person said or the station accepted it."""
    answer = answers.get(record.scan.scan)
    return (answer.card if answer is not None else None) or record.scan.card


def asks_variant_alone(reasons: Sequence[str]) -> bool:
    """Return whether the printing is certain, and only its finish or edition is asked about."""
    return bool(reasons) and VARIANT_REASONS.issuperset(reasons)


def likeliest(scan: CardScanned) -> Card | None:
    """Return a scan's card, or its first candidate."""
    return scan.card or (scan.candidates[0].card if scan.candidates else None)


def named_cards(
    scans: Iterable[ScanRecord],
    answers: Mapping[UUID, ScanAnswer],
    name: Callable[[CardId, Language | None], Card | None],
) -> dict[UUID, Card]:
    """Return the card that each scan shows, as a person said or as is likeliest, in its language.

    `name` returns a printing named in a language; None where it is not known.
    """
    named = {}
    for record in scans:
        card = known_card(record, answers) or likeliest(record.scan)
        if card is not None:
            named[record.scan.scan] = name(card.id, _language_of(record.scan, answers)) or card
    return named


def named_task(
    task: ReviewTask,
    record: ScanRecord | None,
    answers: Mapping[UUID, ScanAnswer],
    name: Callable[[CardId, Language | None], Card | None],
) -> ReviewTask:
    """Return a task with its candidates named in the language of its card, as `named_cards`."""
    language = None if record is None else _language_of(record.scan, answers)
    if language is None:
        return task
    return msgspec.structs.replace(
        task,
        candidates=tuple(
            msgspec.structs.replace(one, card=name(one.card.id, language) or one.card)
            for one in task.candidates
        ),
    )


def _language_of(scan: CardScanned, answers: Mapping[UUID, ScanAnswer]) -> Language | None:
    """Return the language in which a card counts, or else the one that is set."""
    answer = answers.get(scan.scan)
    said = answer.language if answer is not None else None
    return said or scan.counted_language or scan.defaults.language


def scan_outcome(record: ScanRecord, answers: Mapping[UUID, ScanAnswer]) -> str:
    """Return what a scan is now in the dashboard's words, for a person."""
    kind, answer = scan_kind(record, answers), answers.get(record.scan.scan)
    if answer is not None and not answer.known and kind == "asked":
        return "Answered elsewhere"
    if answer is not None and answer.known and kind != "withdrawn":
        return f"{'Counted' if answer.card else 'Not counted'}: {answer.by} answered"
    return {
        "counted": "Counted",
        "asked": "Asked about",
        "none": "No card: not counted",
        "withdrawn": "Taken back",
    }[kind]


def scan_language(record: ScanRecord, answers: Mapping[UUID, ScanAnswer]) -> str:
    """Return what is known of the language of a scan's card, for a person."""
    answer = answers.get(record.scan.scan)
    return language_text(record, answer.language if answer is not None else None)


def percent(share: float) -> str:
    """Return a share in whole percent as the dashboard does, rounded down: 100 % only for 1."""
    return f"{int(round(share * 100, 6))} %" if share < 1 else "100 %"


def advice_on(reasons: Sequence[str]) -> list[str]:
    """Return what the operator can do about reasons, each sentence once."""
    return list(dict.fromkeys(ADVICE[reason] for reason in map(str, reasons) if reason in ADVICE))


def heading(reasons: Sequence[str]) -> str:
    """Return what a picture without candidates shows."""
    return next(HEADINGS[reason] for reason in map(str, reasons) if reason in HEADINGS)


def worth_offering(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return the likeliest candidates, without those that are hardly possible."""
    return [
        one
        for number, one in enumerate(candidates[:MAX_CANDIDATES])
        if not number or one.confidence >= LEAST_OFFERED
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnOutline:
    """A card's outline in an image (pixels): its corners for SVG, and its middle."""

    points: str
    x: float
    y: float


def drawn_outlines(outlines: Sequence[Outline], image: Image) -> list[DrawnOutline]:
    """Return outlines in pixels of an image."""
    drawn = []
    for outline in outlines:
        xs = [round(share * image.width, 1) for share in outline[::2]]
        ys = [round(share * image.height, 1) for share in outline[1::2]]
        points = " ".join(f"{x},{y}" for x, y in zip(xs, ys, strict=True))
        drawn.append(DrawnOutline(points=points, x=sum(xs) / 4, y=sum(ys) / 4))
    return drawn


def html(content: str, status: int = 200) -> HTMLResponse:
    """Return HTML as a response."""
    return HTMLResponse(content, status)


def duration_text(seconds: float | None) -> str:
    """Return a duration as text."""
    if seconds is None:
        return "an unknown time"
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
