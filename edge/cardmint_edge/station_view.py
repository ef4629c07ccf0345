"""The state of a running station as the page shows it."""

import time
from collections.abc import Callable, Sequence
from uuid import UUID

from msgspec.structs import replace

from cardmint_contracts.cards import Card
from cardmint_contracts.catalogue import finishes_of
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_edge import __version__
from cardmint_edge.adapters.cameras.live import LiveCamera
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.adapters.sqlite.tasks import TaskTable
from cardmint_edge.capture import Camera
from cardmint_edge.count import CardCounter
from cardmint_edge.domain.delivery.drain_estimate import DrainEstimator
from cardmint_edge.forward import Forwarder
from cardmint_edge.page.views import RECENT_SCANS, MachineSummary, PriceSummary, StationView
from cardmint_edge.review_tasks import ReviewTasks
from cardmint_edge.rollout import ActiveRecognition
from cardmint_edge.status import StationStatus
from cardmint_edge.upload import Uploader

TASKS_SHOWN = 3


class StationViewReader:
    """Reads what the page shows from the parts of the station."""

    def __init__(
        self,
        *,
        status: StationStatus,
        outbox: Outbox,
        task_table: TaskTable,
        tasks: ReviewTasks,
        camera: Camera,
        counter: CardCounter,
        forwarder: Forwarder,
        uploader: Uploader | None,
        active: ActiveRecognition,
        clock: StationClock,
        problems: Callable[[], Sequence[str]] = tuple,
        link_problem: Callable[[], str] = str,
    ) -> None:
        """Take the parts.

        `problems` returns sentences about what else is wrong at the station. `link_problem`
        returns why there is no connection to the broker.
        """
        self._status = status
        self._outbox = outbox
        self._task_table = task_table
        self._tasks = tasks
        self._camera = camera
        self._counter = counter
        self._forwarder = forwarder
        self._uploader = uploader
        self._active = active
        self._clock = clock
        self._problems = problems
        self._link_problem = link_problem
        self._drain = DrainEstimator()
        self._skipped: set[UUID] = set()

    def skip(self, task: UUID) -> None:
        """Show a task after all others."""
        self._skipped.add(task)

    def read(self, notice: str) -> StationView:
        """Return what the page shows now, with a notice for the operator; empty for none."""
        status = self._status.outbox()
        oldest = self._task_table.oldest_open(TASKS_SHOWN + len(self._skipped))
        tasks = sorted(oldest, key=lambda task: task.task in self._skipped)[:TASKS_SHOWN]
        scans = self._outbox.recent_scans(RECENT_SCANS + 1)
        originals = {
            task.scan: self._outbox.possible_original(task.scan)
            for task in tasks
            if Reason.POSSIBLE_DUPLICATE in task.reasons
        }
        last = _likeliest(scans[0].scan) if scans else None
        named = last and self._active.named(last.id, scans[0].scan.defaults.language)
        return StationView(
            status=status,
            machine=MachineSummary(
                camera=self._camera.name,
                disk_free_bytes=self._status.disk_free_bytes(),
                clock_synced=self._clock().clock_synced,
                pack=self._active.version,
                version=__version__,
                catalogue_days=self._catalogue_days(),
                newest_set=self._active.newest_set,
            ),
            drain_s=self._drain.estimate(time.monotonic(), status.queued),
            link=self._link_text(),
            connected=self._forwarder.connected,
            fault=self._counter.fault,
            problems=[*self._forwarder.warnings, *self._problems()],
            scans=scans,
            price=self._price(scans[0].scan) if scans else None,
            tasks=tasks,
            originals={scan: record for scan, record in originals.items() if record is not None},
            open_tasks=self._task_table.count_open(),
            overruled=self._tasks.overruled,
            scan_to_repeat=self._tasks.scan_to_repeat,
            uploads=self._uploader is not None,
            uploads_paused=self._uploader is not None and self._uploader.paused,
            has_live=isinstance(self._camera, LiveCamera),
            notice=notice,
            printed_name=named.name if named else "",
            exists_as=finishes_of(self._active.variants(last.id)) if last else (),
        )

    def _catalogue_days(self) -> int | None:
        made_at = self._active.made_at
        return None if made_at is None else max(0, (self._clock().time - made_at).days)

    def _link_text(self) -> str:
        text, problem = self._forwarder.status_text, self._link_problem()
        return text if self._forwarder.connected or not problem else f"{text}: {problem}"

    def _price(self, scan: CardScanned) -> PriceSummary | None:
        card = _likeliest(scan)
        counted = replace(scan.defaults, finish=scan.counted_finish, edition=scan.counted_edition)
        price = self._active.price(card.id, counted) if card else None
        if price is None:
            return None
        return PriceSummary(
            money=price.price, source=price.source, days=(self._clock().time - price.as_of).days
        )


def _likeliest(scan: CardScanned) -> Card | None:
    return scan.card or (scan.candidates[0].card if scan.candidates else None)
