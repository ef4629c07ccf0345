"""What the page shows: the station's state as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined

from cardmint_contracts.cards import Batch, Condition, Decision, Edition, Finish
from cardmint_contracts.tasks import ReviewTask
from cardmint_edge.adapters.outbox import ScanLine
from cardmint_edge.status import OutboxStatus
from cardmint_edge.tasks import Overruled

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
class View:
    """Everything that the live part shows. `link` and `fault` are words; an empty fault is none.

    `uploads` says whether images are to go anywhere at all.
    """

    status: OutboxStatus
    link: str
    connected: bool
    fault: str
    scans: Sequence[ScanLine]
    tasks: Sequence[ReviewTask]
    open_tasks: int
    overruled: Sequence[Overruled] = ()
    awaited: UUID | None = None
    uploads: bool = True
    notice: str = ""


class Pages:
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
        )
        environment.filters["words"] = lambda code: str(code).replace("_", " ").replace("-", " ")
        self._live = environment.get_template("live.html")
        self._page = environment.get_template("page.html")

    def live(self, view: View) -> tuple[str, str]:
        """Return the live part, and a digest that changes when it does."""
        html = self._live.render(view=view, digest=_DIGEST)
        digest = blake2b(html.encode(), digest_size=8).hexdigest()
        return html.replace(_DIGEST, digest, 1), digest

    def page(self, view: View, batch: Batch, saved: bool) -> str:
        """Return the whole page."""
        return self._page.render(live=self.live(view)[0], batch=batch, saved=saved)
