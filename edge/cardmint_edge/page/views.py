"""The page as HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from cardmint_contracts.cards import Card, Condition, Decision, Edition, Finish, Money, ScanDefaults
from cardmint_contracts.currencies import digits
from cardmint_contracts.reasons import Reason
from cardmint_contracts.tasks import ReviewTask
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.review_tasks import OverruledAnswer
from cardmint_edge.status import OutboxStatus

RECENT_SCANS = 20
_DIGEST = "{digest}"
MAX_CANDIDATES = 3
LANGUAGES = ("en", "de", "fr", "it", "es", "pt", "nl", "ja", "ko", "zh-hans", "zh-hant")

DECISIONS = {
    Decision.ACCEPT: "Counted",
    Decision.REVIEW: "Counted, a person must look",
    Decision.REJECT: "No card recognised",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StationView:
    """The content of the page's live part.

    `link`, `fault` and `problems` are sentences; an empty fault is none. `originals` has, for the
    scan of a task, the earlier scan of which it is a possible duplicate. `uploads` is whether
    images are uploaded at all. `printed_name` is the last card's name in the language that is set,
    `exists_as` the finishes in which it exists; none where none are known.
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
    overruled: Sequence[OverruledAnswer] = ()
    scan_to_repeat: UUID | None = None
    uploads: bool = True
    uploads_paused: bool = False
    drain_s: float | None = 0.0
    has_live: bool = False
    notice: str = ""
    problems: Sequence[str] = ()
    price: "PriceSummary | None" = None
    printed_name: str = ""
    exists_as: Sequence[Finish] = ()


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
    the set that came out last in it.
    """

    camera: str
    disk_free_bytes: int
    clock_synced: bool
    pack: str
    version: str
    catalogue_days: int | None = None
    newest_set: str = ""


class PageRenderer:
    """Renders the templates. `station` is the station's name."""

    def __init__(self, station: str) -> None:
        environment = Environment(
            loader=PackageLoader("cardmint_edge.page"), autoescape=True, undefined=StrictUndefined
        )
        environment.globals.update(
            station=station,
            decisions=DECISIONS,
            finishes=list(Finish),
            editions=list(Edition),
            conditions=list(Condition),
            languages=LANGUAGES,
            limit=MAX_CANDIDATES,
            duplicate=Reason.POSSIBLE_DUPLICATE,
        )
        environment.filters["duration"] = duration_text
        environment.filters["money"] = lambda money: (
            f"{digits(money.minor, money.currency)} {money.currency}"
        )
        environment.filters["words"] = lambda code: str(code).replace("_", " ").replace("-", " ")
        self._live = environment.get_template("live.html")
        self._page = environment.get_template("page.html")
        self._search_results = environment.get_template("search_results.html")
        self._pin = environment.get_template("pin.html")

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

    def pin(self, error: str) -> str:
        """Return the page that asks for the PIN; `error` is empty at the first time."""
        return self._pin.render(error=error)


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
