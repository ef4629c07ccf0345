"""Counting: no card is lost, doubled or beeped too early, whatever fails."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from structlog.testing import capture_logs
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import CARDS, STAMP, shot_of

from cardmint_contracts.cards import Candidate, Card, Decision, Finish, ScanDefaults
from cardmint_contracts.catalogue import Variant
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_contracts.upcasters import decode_data
from cardmint_edge.adapters.cameras.folder import FolderCamera
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.capture import Camera, Shot
from cardmint_edge.count import CardCounter, ScanOutbox
from cardmint_edge.domain.delivery.batches import Timestamp
from cardmint_edge.domain.recognition import Frame, Recogniser, Recognition
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.errors import EdgeError, Park, Retry, Stop


class FakeCamera:
    """Gives prepared shots, errors or nothing. It is done after the last one."""

    def __init__(self, *steps: Shot | EdgeError | None) -> None:
        self.steps = list(steps)
        self.confirmed = 0
        self.put_aside: list[str] = []

    @property
    def name(self) -> str:
        return "fake"

    @property
    def done(self) -> bool:
        return not self.steps

    def next(self, timeout_s: float) -> Shot | None:
        step = self.steps.pop(0)
        if isinstance(step, EdgeError):
            raise step
        return step

    def capture(self) -> bool:
        return False

    def confirm(self) -> None:
        self.confirmed += 1

    def set_aside(self, reason: str, message: str) -> None:
        self.put_aside.append(reason)

    def close(self) -> None: ...


class Names:
    """A recogniser that accepts the first card, with every field of a recognition."""

    def recognise(self, frame: Frame) -> Recognition:
        return Recognition(
            decision=Decision.ACCEPT,
            card=CARDS[0],
            confidence=0.99,
            margin=0.5,
            candidates=(Candidate(card=CARDS[0], confidence=0.99),) * 9,
            rectified=frame[:7],
            pack="pack-1",
            ms={"match": 1.0},
        )


class ReadsLanguages(Names):
    """A recogniser whose print tells languages by these scores."""

    def __init__(self, languages: dict[str, float] | None) -> None:
        self._languages = languages

    def recognise(self, frame: Frame) -> Recognition:
        return dataclasses.replace(super().recognise(frame), languages=self._languages)


class Breaks:
    def recognise(self, frame: Frame) -> Recognition:
        raise ZeroDivisionError


class CountingBench:
    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox.open(folder / "outbox.db")
        self.images = ImageStore(folder / "images")
        self.beeps: list[int] = []
        self.scan_to_repeat: UUID | None = None
        self.settled: list[Recognition] = []

    def settle(self, frame: Frame, recognition: Recognition) -> Recognition:
        """Accept what was asked about: the frame shows the number."""
        self.settled.append(recognition)
        return Names().recognise(frame)

    def counter(
        self,
        camera: FakeCamera,
        recogniser: Recogniser | None = None,
        outbox: ScanOutbox | None = None,
        variants: Sequence[Variant] = (),
    ) -> CardCounter:
        return CardCounter(
            camera=camera,
            variants=lambda _: variants,
            recogniser=recogniser or Names(),
            outbox=outbox or self.outbox,
            images=self.images,
            read_clock=lambda: STAMP,
            on_counted=lambda: self.beeps.append(self.outbox.counters.scanned),
            scan_to_repeat=lambda: self.scan_to_repeat,
            settle=self.settle,
            first_wait_s=0.0,
        )

    @property
    def scans(self) -> list[CardScanned]:
        found = [decode_data(event.type, event.data) for event in self.outbox.events(1, 100)]
        return [event for event in found if isinstance(event, CardScanned)]


@pytest.fixture
def bench() -> Iterator[CountingBench]:
    with quick_folder() as folder:
        opened = CountingBench(folder)
        yield opened
        opened.outbox.close()


def test_each_card_is_a_fact_before_its_beep(bench: CountingBench) -> None:
    bench.outbox.set_defaults(ScanDefaults(bin="A1", finish=Finish.HOLO))
    camera = FakeCamera(shot_of(1), None, shot_of(2))
    with capture_logs() as logs:
        bench.counter(camera).run()
    assert (bench.beeps, camera.confirmed) == ([1, 2], 2)
    first = bench.scans[0]
    assert (first.decision, first.card, first.recogniser.pack) == (
        Decision.ACCEPT,
        CARDS[0],
        "pack-1",
    )
    assert (first.defaults, len(first.candidates)) == (
        ScanDefaults(bin="A1", finish=Finish.HOLO),
        8,
    )
    assert first.image is not None
    assert (first.image.height, bench.images.get(first.image.sha256) is not None) == (7, True)
    lines = [entry for entry in logs if entry["event"] == "card"]
    assert [(line["sequence"], line["card"], line["origin"]) for line in lines] == [
        (1, "set1-1", "shot-1"),
        (2, "set1-1", "shot-2"),
    ]
    assert set(lines[0]["ms"]) == {"match", "store"}


FRENCH = {"en": -20.0, "fr": 0.0, "de": -20.0, "it": -20.0, "es": -20.0, "pt": -20.0}
PERHAPS_FRENCH = FRENCH | {"en": -3.0}


@pytest.mark.parametrize(
    ("scores", "setting", "counted", "asked"),
    [
        (FRENCH, None, "fr", False),
        (FRENCH, "en", "fr", False),
        (PERHAPS_FRENCH, "en", None, True),
        (PERHAPS_FRENCH, "fr", "fr", False),
        (None, "en", "en", False),
        (None, None, None, False),
    ],
)
def test_a_card_counts_in_the_language_that_is_read_and_an_unclear_one_is_asked_about(
    bench: CountingBench,
    scores: dict[str, float] | None,
    setting: str | None,
    counted: str | None,
    asked: bool,
) -> None:
    bench.outbox.set_defaults(ScanDefaults(language=setting))
    with capture_logs():
        bench.counter(FakeCamera(shot_of(1)), ReadsLanguages(scores)).run()
    [scan] = bench.scans
    assert scan.reasons == (("language-unclear",) if asked else ())
    assert (scan.decision is Decision.REVIEW, scan.card is None) == (asked, asked)
    assert scan.counted_language == counted
    assert (scan.language is None) == (scores is None)


def test_a_recogniser_that_breaks_leaves_the_card_to_a_person(bench: CountingBench) -> None:
    with capture_logs():
        bench.counter(FakeCamera(shot_of(1), shot_of(2)), Breaks()).run()
    assert [(scan.decision, scan.reasons) for scan in bench.scans] == [
        (Decision.REVIEW, ("recognition-failed",))
    ] * 2
    image = bench.scans[0].image
    assert image is not None
    assert image.height == 14, "without a rectified card the whole frame is kept"


class Mumbles:
    """A recogniser whose outcome makes no valid event."""

    def __init__(self, outcome: Recognition) -> None:
        self._outcome = outcome

    def recognise(self, frame: Frame) -> Recognition:
        return self._outcome


@pytest.mark.parametrize(
    "outcome",
    [
        Recognition(decision=Decision.ACCEPT),
        Recognition(decision=Decision.REJECT, reasons=("Not A Code",)),
        Recognition(decision=Decision.ACCEPT, card=Card(id="x-1", name="line\nbreak")),
        Recognition(decision=Decision.REVIEW, confidence=float("nan")),
        Recognition(decision=Decision.REVIEW, confidence=1.5),
    ],
)
def test_an_outcome_that_is_none_is_left_to_a_person(
    bench: CountingBench, outcome: Recognition
) -> None:
    with capture_logs():
        bench.counter(FakeCamera(shot_of(1)), Mumbles(outcome)).run()
    assert [(scan.decision, scan.reasons) for scan in bench.scans] == [
        (Decision.REVIEW, ("recognition-failed",))
    ]
    assert bench.outbox.recent_scans(1)[0].scan == bench.scans[0]


def test_a_capture_that_cannot_be_used_is_set_aside_and_counted_as_that(
    bench: CountingBench,
) -> None:
    unusable = Shot(frame=np.zeros((4, 4, 2), dtype=np.uint8), origin="two-channels")
    camera = FakeCamera(Park("torn file"), unusable, shot_of(1))
    with capture_logs() as logs:
        bench.counter(camera, Breaks()).run()
    assert (bench.outbox.counters.parked, bench.outbox.counters.scanned) == (2, 1)
    assert (camera.confirmed, camera.put_aside) == (1, ["unusable-picture"])
    assert [entry["origin"] for entry in logs if entry["event"] == "capture set aside"] == [
        "",
        "two-channels",
    ]


def test_a_picture_that_was_counted_is_set_aside_until_it_is_wanted_again(
    bench: CountingBench,
) -> None:
    def file_of(number: int, resumed: bool = False, again: bool = False) -> Shot:
        digest = f"{number:064x}"
        return dataclasses.replace(shot_of(number), digest=digest, resumed=resumed, again=again)

    camera = FakeCamera(file_of(1), file_of(1), file_of(2), file_of(1, again=True))
    with capture_logs():
        counter = bench.counter(camera)
        counter.run()
    assert (bench.outbox.counters.scanned, camera.put_aside) == (3, ["same-picture"])
    assert bench.outbox.counters.parked == 1
    resumed = FakeCamera(
        file_of(2, resumed=True), file_of(3, resumed=True), file_of(3, resumed=True, again=True)
    )
    with capture_logs():
        bench.counter(resumed).run()
    assert bench.outbox.counters.scanned == 5, "counted before the start, new, wanted again"
    assert (resumed.confirmed, resumed.put_aside) == (3, [])
    last = bench.scans[-1].scan
    assert bench.outbox.scan_of_picture(f"{3:064x}") == last
    assert bench.outbox.withdraw(last, "operator", STAMP)
    assert bench.outbox.scan_of_picture(f"{3:064x}") is None, "it may be counted again"


def test_what_was_set_aside_is_said_until_the_next_card_counts(bench: CountingBench) -> None:
    said: list[str] = []

    class Listened(FakeCamera):
        def next(self, timeout_s: float) -> Shot | None:
            said.append(counter.set_aside)
            return super().next(timeout_s)

    counter = bench.counter(Listened(Park("only a raw file came"), None, shot_of(1)))
    with capture_logs():
        counter.run()
    assert (said, counter.set_aside) == (["", *["only a raw file came"] * 2], "")


def test_a_disk_that_fails_to_say_what_was_counted_is_asked_again(bench: CountingBench) -> None:
    shot = dataclasses.replace(shot_of(1), digest=f"{1:064x}")
    with capture_logs():
        bench.counter(FakeCamera(shot), outbox=Full(bench.outbox, {1}, lambda _: None)).run()
    assert bench.outbox.counters.scanned == 1
    counter = bench.counter(
        FakeCamera(shot), outbox=Full(bench.outbox, {1}, lambda _: counter.stop())
    )
    with capture_logs():
        counter.run()
    assert bench.outbox.counters.scanned == 1


def test_a_camera_that_is_away_comes_back(bench: CountingBench) -> None:
    counter = bench.counter(FakeCamera(Retry("unplugged"), Retry("unplugged"), shot_of(1)))
    with capture_logs() as logs:
        counter.run()
    assert [e["reason"] for e in logs if e["event"] == "not counting"] == [
        "the camera is away: unplugged"
    ]
    assert (counter.fault, bench.beeps) == ("", [1])


def test_a_camera_that_cannot_be_used_ends_it(bench: CountingBench) -> None:
    with pytest.raises(Stop, match="no such camera"):
        bench.counter(FakeCamera(Stop("no such camera"))).run()


class Full:
    """An outbox whose disk is full at some attempts; `meanwhile` is called at each."""

    def __init__(self, outbox: Outbox, full: set[int], meanwhile: Callable[[int], None]) -> None:
        self._outbox = outbox
        self._full = full
        self._meanwhile = meanwhile
        self.attempt = 0

    @property
    def defaults(self) -> ScanDefaults:
        return self._outbox.defaults

    @property
    def last_shot(self) -> tuple[str, str] | None:
        return self._outbox.last_shot

    def record(
        self, scan: CardScanned, stamp: Timestamp, origin: str, fingerprint: bytes, picture: str
    ) -> ScanRecord:
        self._try()
        return self._outbox.record(scan, stamp, origin, fingerprint, picture)

    def scan_of_picture(self, picture: str) -> UUID | None:
        self._try()
        return self._outbox.scan_of_picture(picture)

    def recent_scans(self, count: int) -> list[ScanRecord]:
        return self._outbox.recent_scans(count)

    def park(self) -> None:
        self._try()
        self._outbox.park()

    def _try(self) -> None:
        self.attempt += 1
        self._meanwhile(self.attempt)
        if self.attempt in self._full:
            raise Stop("disk is full")


def test_a_full_disk_holds_the_card_and_says_why(bench: CountingBench) -> None:
    faults: list[str] = []
    camera = FakeCamera(*(shot_of(n) for n in range(4)))
    full = Full(bench.outbox, {3, 4, 5}, lambda _: faults.append(counter.fault))
    counter = bench.counter(camera, outbox=full)
    with capture_logs() as logs:
        counter.run()
    assert full.attempt == 4 + 3
    assert len({scan.scan for scan in bench.scans}) == 4
    assert (bench.beeps, camera.confirmed) == ([1, 2, 3, 4], 4)
    assert len([e for e in logs if e["event"] == "not counting"]) == 1
    assert faults == ["", "", "", *["this card is not counted yet: disk is full"] * 3, ""]
    assert counter.fault == ""


def test_stopping_while_the_disk_is_full_leaves_the_shot_to_the_next_start(
    bench: CountingBench,
) -> None:
    camera = FakeCamera(shot_of(1), shot_of(2))
    full = Full(
        bench.outbox, set(range(100)), lambda attempt: counter.stop() if attempt == 3 else None
    )
    counter = bench.counter(camera, outbox=full)
    with capture_logs():
        counter.run()
    assert (full.attempt, bench.scans, bench.beeps, camera.confirmed) == (3, [], [], 0)


def test_a_disk_that_cannot_even_count_what_is_set_aside(bench: CountingBench) -> None:
    counter = bench.counter(
        FakeCamera(Park("torn"), shot_of(1)), outbox=Full(bench.outbox, {1}, lambda _: None)
    )
    with capture_logs() as logs:
        counter.run()
    reasons = [e["reason"] for e in logs if e["event"] == "not counting"]
    assert reasons == ["a capture is not set aside yet: disk is full"]
    assert bench.outbox.counters.parked == 1, "it is counted when there is room"
    assert bench.outbox.counters.scanned == 1


def test_a_shot_that_comes_again_after_a_kill_is_not_counted_again(bench: CountingBench) -> None:
    bench.counter(FakeCamera(shot_of(1), shot_of(2))).run()
    camera = FakeCamera(shot_of(2), shot_of(3), shot_of(3))
    with capture_logs() as logs:
        bench.counter(camera).run()
    assert bench.outbox.counters.scanned == 4, (
        "only the first shot after a start can be the one before it"
    )
    assert camera.confirmed == 3
    assert [e["origin"] for e in logs if "before the restart" in e["event"]] == ["shot-2"]


class Killed(BaseException):
    """Stands for a kill: no code of the agent runs after it."""


def test_photos_count_once_although_one_with_an_earlier_name_came_after_the_kill(
    bench: CountingBench, tmp_path: Path, fictional: Path
) -> None:
    def folder_camera() -> FolderCamera:
        return FolderCamera(tmp_path, settle_s=0.0)

    def kill(after: int, camera: Camera) -> CardCounter:
        def killed() -> None:
            if bench.outbox.counters.scanned >= after:
                raise Killed

        return CardCounter(
            camera=camera,
            recogniser=Names(),
            outbox=bench.outbox,
            images=bench.images,
            read_clock=lambda: STAMP,
            on_counted=killed,
        )

    shutil.copy(fictional / "images" / "emb-2.jpg", tmp_path / "2.jpg")
    with pytest.raises(Killed):
        kill(1, folder_camera()).run()
    shutil.copy(fictional / "images" / "emb-1.jpg", tmp_path / "1.jpg")
    with capture_logs() as logs, pytest.raises(Killed):
        kill(2, folder_camera()).run()
    assert [e["origin"] for e in logs if "before the restart" in e["event"]] == ["2.jpg"]
    shutil.copy(fictional / "images" / "emb-3.jpg", tmp_path / "0.jpg")
    with pytest.raises(Killed):
        kill(3, folder_camera()).run()
    assert bench.outbox.counters.scanned == 3
    origins = [row[0] for row in bench.outbox.database.read("SELECT origin FROM scans")]
    assert origins == ["2.jpg", "1.jpg", "0.jpg"]


def test_a_listener_that_fails_stops_no_counting(bench: CountingBench) -> None:
    def fail(*_: object) -> None:
        raise KeyError

    camera = FakeCamera(shot_of(1), shot_of(2))
    counter = CardCounter(
        camera=camera,
        recogniser=Names(),
        outbox=bench.outbox,
        images=bench.images,
        read_clock=lambda: STAMP,
        on_counted=fail,
        on_decision=fail,
        on_timings=fail,
    )
    with capture_logs() as logs:
        counter.run()
    assert (bench.outbox.counters.scanned, camera.confirmed) == (2, 2)
    assert len([entry for entry in logs if "failed to take" in entry["event"]]) == 6


def test_the_same_place_with_another_picture_is_another_card(bench: CountingBench) -> None:
    bench.counter(FakeCamera(shot_of(1))).run()
    other = Shot(frame=shot_of(9).frame, origin="shot-1")
    bench.counter(FakeCamera(other)).run()
    assert bench.outbox.counters.scanned == 2


def test_a_card_that_was_asked_for_names_its_earlier_scan(bench: CountingBench) -> None:
    bench.scan_to_repeat = UUID(int=77)
    bench.counter(FakeCamera(shot_of(1))).run()
    assert [scan.rescan_of for scan in bench.scans] == [UUID(int=77)]


class Doubts(Names):
    """A recogniser that asks about every card."""

    def recognise(self, frame: Frame) -> Recognition:
        return dataclasses.replace(
            super().recognise(frame), decision=Decision.REVIEW, card=None, reasons=("same-art",)
        )


def test_only_a_card_that_was_asked_for_is_settled_by_its_number(bench: CountingBench) -> None:
    bench.counter(FakeCamera(shot_of(1)), Doubts()).run()
    assert bench.settled == []
    bench.scan_to_repeat = UUID(int=77)
    bench.counter(FakeCamera(shot_of(2)), Names()).run()
    assert bench.settled == []
    bench.counter(FakeCamera(shot_of(3)), Doubts()).run()
    assert [one.decision for one in bench.settled] == [Decision.REVIEW]
    assert [scan.decision for scan in bench.scans][::2] == [Decision.REVIEW, Decision.ACCEPT]


class Forgetful(FakeCamera):
    """A camera that fails to confirm at some attempts; it would give the shot again."""

    deaf = 2

    def confirm(self) -> None:
        if self.deaf:
            self.deaf -= 1
            raise Retry("the folder is read-only")
        super().confirm()


def test_a_camera_that_does_not_hear_is_told_again(bench: CountingBench) -> None:
    camera = Forgetful(shot_of(1), shot_of(2))
    with capture_logs() as logs:
        bench.counter(camera).run()
    assert (camera.confirmed, bench.beeps) == (2, [1, 2])
    assert [e["reason"] for e in logs if e["event"] == "not counting"] == [
        "the camera is away: the folder is read-only"
    ]


def patterned(seed: int) -> Shot:
    cells = np.random.default_rng(seed).integers(0, 255, (8, 6, 3), dtype=np.uint8)
    return Shot(frame=cells.repeat(20, axis=0).repeat(20, axis=1), origin=f"pattern-{seed}")


def noisy(seed: int, *, same_place: bool) -> Shot:
    """Another photo of a card."""
    shot = patterned(seed)
    return dataclasses.replace(
        shot, frame=np.bitwise_xor(shot.frame, np.uint8(1)), same_place=same_place
    )


def test_copies_count_and_only_a_card_that_may_lie_there_still_is_asked_about(
    bench: CountingBench,
) -> None:
    shots = [
        patterned(1),
        noisy(1, same_place=False),
        noisy(2, same_place=True),
        dataclasses.replace(patterned(2), same_place=True),
    ]
    with capture_logs():
        bench.counter(FakeCamera(*shots), Whole()).run()
        stack = bench.counter(
            FakeCamera(*(dataclasses.replace(patterned(n), same_place=True) for n in (4, 2, 4))),
            Whole(),
        )
        stack.stack = True
        stack.run()
    scans = bench.scans
    marked = [scan.possible_duplicate_of for scan in scans]
    assert marked == [None, None, None, scans[2].scan, None, None, None]


def test_a_photo_that_replaces_one_that_was_taken_back_is_no_repeat(bench: CountingBench) -> None:
    with capture_logs():
        counter = bench.counter(FakeCamera(patterned(1)), Whole())
        counter.run()
        assert bench.outbox.withdraw(bench.scans[0].scan, "operator", STAMP)
        bench.counter(FakeCamera(noisy(1, same_place=True)), Whole()).run()
    assert [scan.possible_duplicate_of for scan in bench.scans] == [None, None]


def test_a_picture_that_comes_again_is_flagged_and_counted(bench: CountingBench) -> None:
    with capture_logs() as logs:
        bench.counter(FakeCamera(patterned(1), patterned(2)), Whole()).run()
        bench.counter(FakeCamera(patterned(3), patterned(1)), Whole()).run()  # after a restart too
    assert [scan.possible_duplicate_of for scan in bench.scans] == [
        None,
        None,
        None,
        bench.scans[0].scan,
    ]
    assert bench.outbox.counters.scanned == 4
    assert [entry["duplicate_of"] for entry in logs if entry["event"] == "card"][-1] == str(
        bench.scans[0].scan
    )


class Whole(Names):
    """A recogniser that names every card alike and returns no cut-out."""

    def recognise(self, frame: Frame) -> Recognition:
        return dataclasses.replace(super().recognise(frame), rectified=frame)


def test_a_card_is_counted_in_the_only_finish_of_its_printing(bench: CountingBench) -> None:
    bench.outbox.set_defaults(ScanDefaults(finish=Finish.REVERSE_HOLO))
    bench.counter(FakeCamera(shot_of(1)), variants=[Variant(finish=Finish.HOLO)]).run()
    (scan,) = bench.scans
    assert (scan.decision, scan.finish, scan.counted_finish) == (
        Decision.ACCEPT, Finish.HOLO, Finish.HOLO,
    )  # fmt: skip


def test_a_person_is_asked_when_the_printing_has_not_the_finish_that_is_set(
    bench: CountingBench,
) -> None:
    bench.outbox.set_defaults(ScanDefaults(finish=Finish.HOLO))
    two = [Variant(finish=Finish.NORMAL), Variant(finish=Finish.REVERSE_HOLO)]
    bench.counter(FakeCamera(shot_of(1)), variants=two).run()
    (scan,) = bench.scans
    assert (scan.decision, scan.card, scan.reasons) == (
        Decision.REVIEW, None, (Reason.OTHER_FINISH,),
    )  # fmt: skip
    assert scan.counted_finish is None
