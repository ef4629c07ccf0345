"""Histories of a watched folder and of a tethered camera, made by chance: each card counts once.

Files come under any name and size, whole or in pieces, are overwritten and renamed, the folder goes
away, and the station is killed at any moment. The real camera, counter and outbox run on them with
a clock of their own. `CARDMINT_CAPTURES=200` runs so many of each and prints what became of them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.edge.kit.clock import ManualClock
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import CARDS, STAMP
from tests.edge.kit.tethered import NOISE, FakeTethered

from cardmint_contracts.cards import Candidate, Decision
from cardmint_edge.adapters.cameras.folder import FolderCamera
from cardmint_edge.adapters.cameras.gphoto import TetheredDevice
from cardmint_edge.adapters.cameras.live import LiveCamera
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.capture import Camera, Shot
from cardmint_edge.count import CardCounter
from cardmint_edge.domain.recognition import Frame, Recognition

HISTORIES = int(os.environ.get("CARDMINT_CAPTURES", "8"))
ROUND_S = 45.0
"""Seconds after the last action within which everything is counted or set aside."""


ENDED: list[str] = []
"""The histories that ended with every picture counted once, by kind."""


@pytest.fixture(scope="module", autouse=True)
def _figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print how many histories ended well, where that was asked for."""
    yield
    if request.config.getoption("capture") == "no":
        kinds = ", ".join(f"{ENDED.count(kind)} of a {kind}" for kind in ("folder", "camera"))
        print(f"\nhistories with 0 lost, 0 counted twice, 0 exits: {kinds}")


@cache
def picture(number: int, form: str = ".jpg") -> bytes:
    """A picture that differs for each number, as a JPEG, in another format, or as a thumbnail."""
    cells = np.random.default_rng(number).integers(0, 255, (11, 8, 3), dtype=np.uint8)
    frame = cv2.resize(cells, (160, 220), interpolation=cv2.INTER_CUBIC)
    if "thumb" in form:
        frame = cv2.resize(frame, (80, 110), interpolation=cv2.INTER_AREA)
    return cv2.imencode(Path(form).suffix or form, frame)[1].tobytes()


class Names:
    """A recogniser that accepts every picture."""

    def recognise(self, frame: Frame) -> Recognition:
        return Recognition(
            decision=Decision.ACCEPT,
            card=CARDS[0],
            confidence=0.99,
            candidates=(Candidate(card=CARDS[0], confidence=0.99),),
            rectified=frame,
        )


class Killed(BaseException):
    """Stands for a kill: no code of the agent runs after it."""


class Paced:
    """A camera whose counting ends at a moment; each card takes `busy_s` to be recognised."""

    def __init__(self, camera: Camera, time: ManualClock, until: float, busy_s: float) -> None:
        self._camera, self._time, self._until, self._busy_s = camera, time, until, busy_s

    @property
    def name(self) -> str:
        return self._camera.name

    @property
    def done(self) -> bool:
        return self._time.now >= self._until

    def next(self, timeout_s: float) -> Shot | None:
        shot = self._camera.next(timeout_s)
        if shot is not None and isinstance(self._camera, FolderCamera):
            until = self._time.now + self._busy_s
            while self._time.now < until:  # as the camera's thread does meanwhile
                self._time.sleep(min(0.1, until - self._time.now))
                self._camera.take()
        elif shot is not None:
            self._time.sleep(self._busy_s)
        return shot

    def capture(self) -> bool:
        return self._camera.capture()

    def confirm(self) -> None:
        self._camera.confirm()

    def set_aside(self, reason: str, message: str) -> None:
        self._camera.set_aside(reason, message)

    def close(self) -> None: ...


class Station:
    """Counts on a clock of its own; a kill may come right after any commit."""

    def __init__(self, folder: Path, time: ManualClock) -> None:
        self.time = time
        self.outbox = Outbox.open(folder / "outbox.db")
        self.images = ImageStore(folder / "images")
        self.exits = 0

    def run(self, camera: Camera, until: float, busy_s: float, kills: list[int]) -> None:
        """Count until a moment. `kills` are the numbers of cards at whose commit it is killed."""

        def counted() -> None:
            if kills and self.outbox.counters.scanned >= kills[0]:
                kills.pop(0)
                raise Killed

        counter = CardCounter(
            camera=Paced(camera, self.time, until, busy_s),
            recogniser=Names(),
            outbox=self.outbox,
            images=self.images,
            read_clock=lambda: STAMP,
            on_counted=counted,
            sleep=self.time.sleep,
        )
        counter.run()

    def counts(self, content: bytes) -> bool:
        """Whether a picture was counted."""
        return self.outbox.scan_of_picture(sha256(content).hexdigest()) is not None


@contextmanager
def station() -> Iterator[tuple[Station, Path]]:
    with quick_folder() as top:
        (top / "in").mkdir()
        opened = Station(top, ManualClock())
        try:
            yield opened, top / "in"
        finally:
            opened.outbox.close()


# --- A watched folder ---

STEMS = [
    b"scan1", b"scan2", b"scan10", b"K\xe4rtchen", "Kärtchen".encode(), b"a\nb", b"x" * 230,
    b"DCIM/100CANON/IMG_0001", b"DCIM/101CANON/IMG_0001", b" ", b"-", b"%s%n", b"a..",
]  # fmt: skip
ENDS = [b".jpg", b".JPG", b".jpeg", b".jfif"]
WAYS = [
    "at once", "in pieces", "renamed from .part", "renamed from .jpg", "empty first", "size first",
    "with a trailer",
]  # fmt: skip
TRAILER = b"\0\0\0\x18ftypmp42" + bytes(range(200))
"""A video that comes behind its picture, by the file's name."""
FORMS = ["", "", ".png", ".webp", ".bmp", "_thumb.jpg"]
"""How another file of the same picture is called, if there is one."""
BESIDE = [b".CR2", b".NEF", b".xmp", b".jpg~", b".jpg_original", b".jpg.crdownload"]


@dataclass(frozen=True)
class Arrival:
    """How a card's file comes into the folder, `after` the one before it (seconds)."""

    stem: bytes
    end: bytes
    way: str
    after: float
    pause: float
    pieces: int
    damaged: bool
    copied: bool
    beside: bytes
    form: str
    late: float
    rewritten: bool


arrivals = st.builds(
    Arrival,
    stem=st.sampled_from(STEMS),
    end=st.sampled_from(ENDS),
    way=st.sampled_from(WAYS),
    after=st.floats(0, 3),
    pause=st.floats(0.01, 6),
    pieces=st.integers(2, 4),
    damaged=st.booleans() | st.just(False),
    copied=st.booleans() | st.just(False),
    beside=st.sampled_from(BESIDE),
    form=st.sampled_from(FORMS),
    late=st.floats(0, 12),
    rewritten=st.booleans() | st.just(False),
)


class Writer:
    """Writes the files of a history at their times. While the folder is away it waits."""

    def __init__(self, folder: Path, time: ManualClock) -> None:
        self._folder, self._time = folder, time
        self.end = time.now
        self._due: list[tuple[bytes, bytes, bytes, int]] = []

    def do(
        self, at: float, name: bytes, content: bytes, *, to: bytes = b"", offset: int = -1
    ) -> None:
        """Append to a file at a moment, write from an offset on, or rename it."""
        self.end = max(self.end, at)

        def act() -> None:
            self._due.append((name, content, to, offset))
            self._do_due()

        self._time.at(at - self._time.now, act)

    def _do_due(self) -> None:
        """Do what is due, in order; later, while the folder is away."""
        if not self._folder.is_dir():
            self._time.at(0.5, self._do_due)
            return
        for name, content, to, offset in self._due:
            path = self._folder / os.fsdecode(name)
            target = self._folder / os.fsdecode(to or name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if to:
                with suppress(FileNotFoundError):  # taken under the name that it had
                    path.rename(target)
            elif offset >= 0:
                with path.open("r+b") as file:
                    file.seek(offset)
                    file.write(content)
            else:
                with path.open("ab") as file:
                    file.write(content)
        self._due.clear()

    def arrive(self, begin: float, arrival: Arrival, name: bytes, content: bytes) -> None:
        whole, pause = len(content), arrival.pause
        if arrival.way in {"at once", "with a trailer"}:
            self.do(begin, name, content)
        elif arrival.way == "in pieces":
            cuts = [whole * n // arrival.pieces for n in range(arrival.pieces + 1)]
            for n in range(arrival.pieces):
                self.do(begin + n * pause, name, content[cuts[n] : cuts[n + 1]])
        elif arrival.way == "empty first":
            self.do(begin, name, b"")
            self.do(begin + pause, name, content)
        elif arrival.way == "size first":
            half = whole // 2
            self.do(begin, name, content[:half] + bytes(whole - half))
            self.do(begin + pause, name, content[half:], offset=half)
        else:
            part = name + b".part" if arrival.way == "renamed from .part" else b"new-" + name[-9:]
            # A name that the folder takes is replaced before the file has settled.
            short = pause if arrival.way == "renamed from .part" else min(pause, 0.15)
            self.do(begin, part, content)
            self.do(begin + short, part, b"", to=name)
        self.do(self.end, name + arrival.beside, content)

    def rewrite(self, at: float, content: bytes, by: bytes) -> None:
        """Write another picture into a file that was counted, as a program that has it open."""
        self.end = max(self.end, at)

        def act() -> None:
            for path in (self._folder / "done").rglob("*"):
                if path.is_file() and path.read_bytes() == content:
                    path.write_bytes(by)

        self._time.at(at - self._time.now, act)


@settings(max_examples=HISTORIES, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    history=st.lists(arrivals, min_size=1, max_size=8),
    away=st.lists(st.tuples(st.floats(0.1, 20), st.floats(0.1, 3600)), max_size=2),
    kills=st.sets(st.integers(1, 8), max_size=3),
    busy_s=st.floats(0, 5),
)
def test_every_picture_of_a_folder_counts_once(
    history: list[Arrival], away: list[tuple[float, float]], kills: set[int], busy_s: float
) -> None:
    with station() as (here, folder), capture_logs():
        time, writer = here.time, Writer(folder, here.time)
        expected, damaged = dict[bytes, tuple[bytes, ...]](), 0
        begin, free = time.now, dict[bytes, float]()
        round_s = ROUND_S + 2 * busy_s * len(history)
        for number, arrival in enumerate(history):
            name = arrival.stem + arrival.end
            if away or arrival.copied:
                # What is overwritten while the folder is away was never seen.
                name = arrival.stem[:190] + b"-%d" % number + arrival.end
            begin = max(begin + arrival.after, free.get(name, 0.0))
            # A copy of a file of which another form counts is not known by its bytes.
            copied = arrival.copied and number and not history[number - 1].form
            whole = picture(number - 1 if copied else number)
            content = whole[: len(whole) // 2] if arrival.damaged else whole
            writer.arrive(begin, arrival, name, content)
            # After a restart, or after a damaged picture, nobody knows what it came behind.
            trailing = arrival.way == "with a trailer" and not (away or kills or arrival.damaged)
            if trailing:
                writer.do(writer.end + arrival.pause, name, TRAILER)
            # While the folder is away, a file may be taken under the name that it has first.
            named = not away or arrival.way != "renamed from .jpg"
            if arrival.form and named and not arrival.damaged and not arrival.copied:
                other = picture(number, arrival.form)
                writer.do(
                    writer.end + arrival.late,
                    name[: -len(arrival.end)] + arrival.form.encode(),
                    other,
                )
            # The same name is used again once its file has settled and is taken: half a second.
            settles_s = 4.0 if trailing else 0.6
            free[name] = writer.end + (40.0 if arrival.damaged else settles_s)
            begin = free[name] if arrival.damaged and not away else begin
            damaged += arrival.damaged
            if not arrival.damaged:
                expected[whole] = (
                    *expected.get(whole, (whole,)),
                    whole + TRAILER,
                    picture(number, arrival.form or ".jpg"),
                )
        if not away and not kills:
            # Everything before has been counted by then.
            settled = writer.end + round_s
            for number, arrival in enumerate(history):
                plain = not arrival.copied and arrival.way != "with a trailer"
                if arrival.rewritten and not arrival.damaged and plain:
                    new = picture(100 + number)
                    writer.rewrite(settled, picture(number), new)
                    expected[new] = (new,)
        moment = time.now
        for after, long in away:
            moment += after

            def leave() -> None:
                if folder.is_dir():
                    folder.rename(folder.with_name("gone"))

            def come_back() -> None:
                if folder.with_name("gone").is_dir():
                    folder.with_name("gone").rename(folder)

            time.at(moment - time.now, leave)
            moment += long
            time.at(moment - time.now, come_back)
        until = max(moment, writer.end) + round_s
        left = sorted(kills)
        while time.now < until:
            # Files are closed at once here; that is not asked of the kernel a million times.
            camera = FolderCamera(
                folder, clock=time.clock, sleep=time.sleep, has_writer=lambda _: False
            )
            with suppress(Killed):
                here.run(camera, until, busy_s, left)
        origins = [row[0] for row in here.outbox.database.read("SELECT origin FROM scans")]
        assert here.outbox.counters.scanned == len(expected), f"lost, or counted twice: {origins}"
        for forms in expected.values():
            assert any(here.counts(content) for content in forms)
        assert {file.reason for file in camera.waiting()} <= {"other-form", "tail"}
        aside = [file.reason for file in camera.parked()]
        assert aside.count("unreadable-image") == damaged
        assert set(aside) <= {"unreadable-image", "same-picture", "other-form"}
    ENDED.append("folder")


# --- A tethered camera ---


@dataclass(frozen=True)
class Photo:
    """One press of the button or order, `after` the one before it, and how its files are told."""

    ordered: bool
    after: float
    raw: str
    raw_first: bool
    late: float
    jpeg: bool


photos = st.builds(
    Photo,
    ordered=st.booleans(),
    after=st.floats(0.3, 3),
    raw=st.sampled_from(["", "CR2", "CR3", "NEF", "ARW", "RAF", "TIF"]),
    raw_first=st.booleans(),
    late=st.floats(0, 5),
    jpeg=st.booleans() | st.just(True),
)


@settings(max_examples=HISTORIES, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    history=st.lists(photos, min_size=1, max_size=8),
    old=st.integers(0, 60),
    noise=st.lists(st.floats(0, 30), max_size=10),
    busy_s=st.floats(0, 0.4),
)
def test_every_photo_of_a_tethered_camera_counts_once(
    history: list[Photo], old: int, noise: list[float], busy_s: float
) -> None:
    with station() as (here, _), capture_logs():
        time = here.time
        fake = FakeTethered(time)
        for number in range(old):
            fake.press((0.01 * number, f"OLD_{number}.JPG", picture(99)))
        device = TetheredDevice(make=fake.make, clock=time.clock, sleep=time.sleep)
        camera = LiveCamera(device, clock=time.clock)
        at = 2.0
        raw_only = 0
        for number, photo in enumerate(history):
            at += photo.after + (7 if photo.ordered else 0)
            jpeg = (f"IMG_{number:04}.JPG", picture(number))
            raw = (f"IMG_{number:04}.{photo.raw}", b"a raw file")
            first = [raw] if photo.raw and (photo.raw_first or not photo.jpeg) else [jpeg]
            second = [name for name in (raw, jpeg) if name not in first]
            if not photo.jpeg or not photo.raw:
                second = []
            raw_only += not photo.jpeg and bool(photo.raw)
            files = [(0.0, *first[0]), *((photo.late, *one) for one in second)]
            if photo.ordered:
                fake.order.append(files)
                time.at(at, camera.capture)
            else:
                time.at(at, partial(fake.press, *files))
        for moment in noise:
            time.at(moment, partial(fake.send, 0.0, NOISE))
        here.run(camera, time.now + at + ROUND_S, busy_s, [])
        assert here.outbox.counters.scanned == len(history) - raw_only
        assert here.outbox.counters.parked == raw_only
        assert len(fake.deleted) == len(history) - raw_only
        assert fake.releases == sum(photo.ordered for photo in history)
    ENDED.append("camera")
