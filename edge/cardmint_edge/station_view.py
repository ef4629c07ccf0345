"""The state of a running station as the page shows it."""

import time
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from uuid import UUID

from msgspec.structs import replace

from cardmint_contracts.cards import Card, Edition, Finish, Language
from cardmint_contracts.catalogue import editions_of, finishes_of
from cardmint_contracts.control import NewestSets
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_contracts.tasks import ReviewTask
from cardmint_edge import __version__
from cardmint_edge.adapters.cameras.live import LiveCamera
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.adapters.sqlite.tasks import TaskTable
from cardmint_edge.capture import Camera
from cardmint_edge.count import CardCounter
from cardmint_edge.domain.delivery.drain_estimate import DrainEstimator
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.figures import FiguresReader
from cardmint_edge.forward import Forwarder
from cardmint_edge.objections import open_to_objection
from cardmint_edge.page.languages import LanguageChoice, language_choices
from cardmint_edge.page.views import (
    RECENT_SCANS,
    ListedFile,
    MachineSummary,
    PriceSummary,
    StationView,
    likeliest,
    named_cards,
    named_task,
)
from cardmint_edge.review_tasks import ReviewTasks, ScanAnswer
from cardmint_edge.rollout import ActiveRecognition
from cardmint_edge.status import StationStatus
from cardmint_edge.upload import Uploader

TASKS_SHOWN = 3


def first_questions(
    table: TaskTable, scans: Sequence[ScanRecord], skipped: AbstractSet[UUID]
) -> list[ReviewTask]:
    """Return the questions to show: about the last card first, then the oldest, skipped ones last.

    `scans` are the recorded scans, the newest first.
    """
    last = scans[0].scan.scan if scans else None
    in_hand = [
        task
        for task in table.newest_open(TASKS_SHOWN)
        if task.scan == last and task.task not in skipped
    ]
    others = [task for task in table.oldest_open(TASKS_SHOWN + len(skipped)) if task not in in_hand]
    return [*in_hand, *sorted(others, key=lambda task: task.task in skipped)][:TASKS_SHOWN]


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
        files: Callable[[], Sequence[ListedFile]] = tuple,
        newest_sets: Callable[[], NewestSets] = NewestSets,
    ) -> None:
        """Take the parts.

        `problems` returns sentences about what else is wrong at the station. `link_problem`
        returns why there is no connection to the broker. `files` returns the files and photos that
        gave no card, `newest_sets` the sets that came out last.
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
        self._files = files
        self._newest_sets = newest_sets
        self._figures = FiguresReader(outbox, active.price)
        self._drain = DrainEstimator()
        # The page asks many times a second for the same cards.
        self._names = lru_cache(maxsize=4 * RECENT_SCANS)(
            lambda _version, card_id, language: active.named(card_id, language)
        )
        self._skipped: set[UUID] = set()

    def skip(self, task: UUID) -> None:
        """Show a task after all others."""
        self._skipped.add(task)

    def read(self, notice: str) -> StationView:
        """Return what the page shows now, with a notice for the operator; empty for none."""
        status = self._status.outbox()
        scans = self._outbox.recent_scans(RECENT_SCANS + 1)
        answers, version = self._tasks.answers, self._active.version
        tasks = first_questions(self._task_table, scans, self._skipped)
        originals = {
            task.scan: self._outbox.possible_original(task.scan)
            for task in tasks
            if Reason.POSSIBLE_DUPLICATE in task.reasons
        }
        records = (self._outbox.scan(task.scan) for task in tasks)
        asked = {record.scan.scan: record for record in records if record is not None}

        def name(card_id: str, language: Language | None) -> Card | None:
            return self._names(version, card_id, language)

        named = named_cards(scans, answers, name)
        tasks = [named_task(task, asked.get(task.scan), answers, name) for task in tasks]
        last = named.get(scans[0].scan.scan) if scans else None
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
                sets_since=self._sets_since(),
            ),
            drain_s=self._drain.estimate(time.monotonic(), status.queued),
            link=self._link_text(),
            connected=self._forwarder.connected,
            cloud_answers=self._forwarder.cloud_answers,
            fault=self._counter.fault,
            set_aside=self._counter.set_aside,
            problems=[*self._forwarder.warnings, *self._problems()],
            scans=scans,
            price=self._price(scans[0].scan, answers) if scans else None,
            tasks=tasks,
            languages={
                task.scan: self._languages(task, asked.get(task.scan))
                for task in tasks
                if Reason.LANGUAGE_UNCLEAR in task.reasons
            },
            variants={task.scan: self._variants(task) for task in tasks if task.candidates},
            outlines={scan: record.scan.outlines for scan, record in asked.items()},
            originals={scan: record for scan, record in originals.items() if record is not None},
            open_tasks=self._task_table.count_open(),
            overruled=self._tasks.overruled,
            scan_to_repeat=self._tasks.scan_to_repeat,
            uploads=self._uploader is not None,
            uploads_paused=self._uploader is not None and self._uploader.paused,
            has_live=isinstance(self._camera, LiveCamera),
            can_capture=isinstance(self._camera, LiveCamera),
            figures=self._figures.read(self._outbox.defaults.lot, self._clock().time, answers),
            answers=answers,
            given=self._tasks.given,
            stack=self._counter.stack,
            may_object=self._may_object(scans),
            copies=self._task_table.count_open_with(Reason.POSSIBLE_DUPLICATE),
            files=self._files(),
            notice=notice,
            named=named,
            exists_as=finishes_of(self._active.variants(last.id)) if last else (),
        )

    def _may_object(self, scans: Sequence[ScanRecord]) -> frozenset[UUID]:
        # A replay counts its scans, and a live camera knows the card in its place by the last one.
        last = isinstance(self._camera, LiveCamera)
        return (
            frozenset()
            if self._camera.name == "replay"
            else open_to_objection(self._outbox, scans[:1] if last else scans)
        )

    def _languages(self, task: ReviewTask, record: ScanRecord | None) -> Sequence[LanguageChoice]:
        known = self._active.languages(task.candidates[0].card.id) if task.candidates else ()
        return language_choices(record.scan if record else None, known)

    def _variants(self, task: ReviewTask) -> Mapping[str, Sequence[Finish] | Sequence[Edition]]:
        """Return what the first candidate exists as; nothing where that is not known."""
        known = self._active.variants(task.candidates[0].card.id)
        found: dict[str, Sequence[Finish] | Sequence[Edition]] = {}
        if finishes := finishes_of(known):
            found["finish"] = finishes
        if editions := editions_of(known):
            found["edition"] = editions
        return found

    def _catalogue_days(self) -> int | None:
        made_at = self._active.made_at
        return None if made_at is None else max(0, (self._clock().time - made_at).days)

    def _sets_since(self) -> Sequence[str]:
        made_at = self._active.made_at
        return self._newest_sets().since("" if made_at is None else made_at.date().isoformat())

    def _link_text(self) -> str:
        text, problem = self._forwarder.status_text, self._link_problem()
        return text if self._forwarder.connected or not problem else f"{text}: {problem}"

    def _price(self, scan: CardScanned, answers: Mapping[UUID, ScanAnswer]) -> PriceSummary | None:
        answer = answers.get(scan.scan)
        card = answer.card if answer is not None and answer.known else likeliest(scan)
        said = (answer.finish, answer.edition) if answer is not None else (None, None)
        counted = replace(
            scan.defaults,
            finish=said[0] or scan.counted_finish,
            edition=said[1] or scan.counted_edition,
        )
        price = self._active.price(card.id, counted) if card else None
        if price is None:
            return None
        return PriceSummary(
            money=price.price, source=price.source, days=(self._clock().time - price.as_of).days
        )
