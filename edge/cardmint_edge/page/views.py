"""What the page shows: the station's state as HTML."""

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

STRIP = 20
_DIGEST = "{digest}"
CANDIDATES = 3
LANGUAGES = ("en", "de", "fr", "it", "es", "pt", "nl", "ja", "ko", "zh-hans", "zh-hant")

DECISIONS = {
    Decision.ACCEPT: "Counted",
    Decision.REVIEW: "Counted, a person must look",
    Decision.REJECT: "No card recognised",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StationView:
    """Everything that the live part shows. `link` and `fault` are words; an empty fault is none.

    `uploads` says whether images are to go anywhere at all; `before` has, by the scan that a task
    is about, the one whose card it perhaps shows again.
    """

    status: OutboxStatus
    link: str
    connected: bool
    fault: str
    scans: Sequence[ScanRecord]
    tasks: Sequence[ReviewTask]
    open_tasks: int
    box: "MachineSummary"
    before: Mapping[UUID, ScanRecord] = field(default_factory=dict)
    overruled: Sequence[OverruledAnswer] = ()
    awaited: UUID | None = None
    uploads: bool = True
    uploads_paused: bool = False
    drain_s: float | None = 0.0
    has_live: bool = False
    notice: str = ""
    price: "PriceSummary | None" = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceSummary:
    """What the last card was last worth, and how many days ago."""

    money: Money
    source: str
    days: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineSummary:
    """The machine and what runs on it, in words."""

    camera: str
    disk_free_bytes: int
    clock_synced: bool
    pack: str
    version: str


class PageRenderer:
    """Renders the templates. `station` is the name to show."""

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
            limit=CANDIDATES,
            duplicate=Reason.POSSIBLE_DUPLICATE,
        )
        environment.filters["lasting"] = lasting
        environment.filters["money"] = lambda money: (
            f"{digits(money.minor, money.currency)} {money.currency}"
        )
        environment.filters["words"] = lambda code: str(code).replace("_", " ").replace("-", " ")
        self._live = environment.get_template("live.html")
        self._page = environment.get_template("page.html")
        self._found = environment.get_template("found.html")
        self._pin = environment.get_template("pin.html")

    def live(self, view: StationView) -> tuple[str, str]:
        """Return the live part, and a digest that changes when it does."""
        html = self._live.render(view=view, digest=_DIGEST)
        digest = blake2b(html.encode(), digest_size=8).hexdigest()
        return html.replace(_DIGEST, digest, 1), digest

    def page(self, view: StationView, defaults: ScanDefaults, saved: bool) -> str:
        """Return the whole page."""
        return self._page.render(
            live=self.live(view)[0], defaults=defaults, saved=saved, has_live=view.has_live
        )

    def found(self, task: UUID, version: int, query: str, cards: Sequence[Card]) -> str:
        """Return what a search found, as answers to a task."""
        return self._found.render(task=task, version=version, query=query, cards=cards)

    def pin(self, says: str) -> str:
        """Return the page that asks for the PIN."""
        return self._pin.render(says=says)


def html(content: str, status: int = 200) -> HTMLResponse:
    """Return a page's text as its response."""
    return HTMLResponse(content, status)


def lasting(seconds: float | None) -> str:
    """Return how long something will take, in words."""
    if seconds is None:
        return "a time not known yet"
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
