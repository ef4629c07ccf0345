"""The page over a real database, without a camera and a broker."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import NOW, STAMP
from tests.edge.kit.tasks import CATALOGUE, ELSEWHERE

from cardmint_contracts.cards import Card, Finish
from cardmint_contracts.prices import LastPrice
from cardmint_contracts.reasons import Reason
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.photo_inbox import PhotoInbox
from cardmint_edge.adapters.sqlite.images import ImageTable
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.adapters.sqlite.tasks import TaskTable
from cardmint_edge.figures import FiguresReader
from cardmint_edge.objections import open_to_objection, record_objection
from cardmint_edge.page.languages import language_choices
from cardmint_edge.page.photos import PhonePorts, PhotoOutcome
from cardmint_edge.page.ports import PagePorts
from cardmint_edge.page.routes import make_page
from cardmint_edge.page.views import (
    RECENT_SCANS,
    ListedFile,
    MachineSummary,
    PriceSummary,
    StationView,
    named_cards,
    named_task,
)
from cardmint_edge.review_tasks import ReviewTasks
from cardmint_edge.station_view import first_questions
from cardmint_edge.status import outbox_status


@contextmanager
def open_page_bench() -> Iterator["PageBench"]:
    """Give a bench with an empty outbox."""
    with quick_folder() as folder:
        outbox = Outbox.open(folder / "outbox.db")
        yield PageBench(outbox, ImageStore(folder / "images"))
        outbox.close()


class PageBench:
    def __init__(self, outbox: Outbox, images: ImageStore) -> None:
        self.outbox = outbox
        self.images = images
        self.table = TaskTable(outbox.database)
        self.tasks = ReviewTasks(
            store=self.table,
            append=outbox.append,
            transaction=outbox.database.write,
            read_clock=lambda: STAMP,
            find_card=CATALOGUE.get,
        )
        self.fault = ""
        self.connected = True
        self.pin = ""
        self.skipped: list[UUID] = []
        self.captured = 0
        self.can_capture = True
        self.picture: bytes | None = None
        self.price: PriceSummary | None = None
        self.names: dict[tuple[str, str | None], Card] = {}
        self.exists_as: tuple[Finish, ...] = ()
        self.languages: tuple[str, ...] = ()
        self.catalogue_days: int | None = None
        self.sets_since: Sequence[str] = ()
        self.variants: Mapping[UUID, Mapping[str, Sequence[Finish]]] = {}
        self.paused = False
        self.stack = False
        self.pictures: dict[str, bytes] = {}
        self.files: list[ListedFile] = []
        self.tried: list[tuple[str, str]] = []
        self.photos: dict[str, PhotoOutcome] = {}
        self.inbox: PhotoInbox | None = None
        self.phone_address = ""
        self.dashboard = ""
        self.figures = FiguresReader(outbox, lambda card, defaults: self.last_price)
        self.last_price: LastPrice | None = None
        self.metrics: Callable[[], bytes] = lambda: b"cardmint_scanned 1.0\n"

    def name(self, card: str, language: str | None) -> Card | None:
        return self.names.get((card, language))

    def view(self, notice: str) -> StationView:
        scans = self.outbox.recent_scans(RECENT_SCANS + 1)
        tasks = first_questions(self.table, scans, set())
        return StationView(
            status=outbox_status(self.outbox, ImageTable(self.outbox.database)),
            link="connected; the cloud receives",
            connected=self.connected,
            cloud_answers=self.connected,
            fault=self.fault,
            scans=scans,
            tasks=[
                named_task(task, self.outbox.scan(task.scan), self.tasks.answers, self.name)
                for task in tasks
            ],
            originals={
                task.scan: line
                for task in tasks
                if (line := self.outbox.possible_original(task.scan))
            },
            languages={
                task.scan: language_choices(
                    scan.scan if (scan := self.outbox.scan(task.scan)) else None, self.languages
                )
                for task in tasks
                if Reason.LANGUAGE_UNCLEAR in task.reasons
            },
            outlines={
                task.scan: record.scan.outlines
                for task in tasks
                if (record := self.outbox.scan(task.scan))
            },
            open_tasks=self.table.count_open(),
            overruled=self.tasks.overruled,
            scan_to_repeat=self.tasks.scan_to_repeat,
            notice=notice,
            uploads_paused=self.paused,
            stack=self.stack,
            may_object=open_to_objection(self.outbox, scans),
            has_live=self.picture is not None,
            price=self.price,
            named=named_cards(scans, self.tasks.answers, self.name),
            exists_as=self.exists_as,
            variants=self.variants,
            figures=self.figures.read(self.outbox.defaults.lot, NOW, self.tasks.answers),
            answers=self.tasks.answers,
            given=self.tasks.given,
            files=self.files,
            can_capture=self.can_capture,
            copies=self.table.count_open_with(Reason.POSSIBLE_DUPLICATE),
            machine=MachineSummary(
                camera="desk",
                disk_free_bytes=5 * 10**9,
                clock_synced=False,
                pack="pack-1",
                version="0.1.0",
                catalogue_days=self.catalogue_days,
                newest_set="Pitch Black",
                sets_since=self.sets_since,
            ),
        )

    def capture(self) -> bool:
        self.captured += self.can_capture
        return self.can_capture

    def pause(self, paused: bool) -> None:
        self.paused = paused

    def set_stack(self, stack: bool) -> None:
        self.stack = stack

    def add_piece(self, sha256: str, name: str, length: int, offset: int, piece: bytes) -> int:
        assert self.inbox is not None
        return self.inbox.add_piece(sha256, name, length, offset, piece)

    def outcomes(self, photos: Sequence[str]) -> dict[str, PhotoOutcome]:
        return {name: self.photos.get(name, PhotoOutcome(state="unknown")) for name in photos}

    def try_file(self, what: str, key: str) -> bool:
        self.tried.append((what, key))
        self.files = [file for file in self.files if file.key != key]
        return key != "gone"

    def page(self) -> Any:
        return make_page(
            PagePorts(
                station="left",
                view=self.view,
                wait_for_commits=self.outbox.database.wait_for_commits,
                images=self.images,
                answers=self.tasks,
                defaults=lambda: self.outbox.defaults,
                set_defaults=self.outbox.set_defaults,
                search=lambda text: [ELSEWHERE] if text and text in ELSEWHERE.name else [],
                withdraw=lambda scan: self.outbox.withdraw(scan, "station", STAMP),
                object_to=lambda scan: record_objection(self.outbox, lambda _: True, scan, STAMP),
                skip=self.skipped.append,
                capture=self.capture,
                preview=lambda: self.picture,
                pause_uploads=self.pause,
                set_stack=self.set_stack,
                metrics=lambda: self.metrics(),  # noqa: PLW0108 - a test puts another in its place
                phone=PhonePorts(
                    add_piece=self.add_piece, outcomes=self.outcomes, address=self.phone_address
                ),
                card_picture=self.pictures.get,
                retry_file=lambda key: self.try_file("retry", key),
                dismiss_file=lambda key: self.try_file("dismiss", key),
                dashboard=self.dashboard,
                can_capture=self.can_capture,
                pin=self.pin,
            )
        )
