"""Pictures that are lost because one name is overwritten, beside slow files and other programs.

A child process writes: one name again and again, each picture complete for a random time before the
next one replaces it, and beside it files that come slowly. Others only use the processor. The real
folder camera takes and confirms what comes.
"""

import hashlib
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import msgspec
import numpy as np

from cardmint_edge.adapters.cameras.folder import FolderCamera
from cardmint_edge.errors import Park

SMALL, LARGE = (900, 1200), (3000, 4000)
"""Heights and widths of the pictures that are overwritten, and of the slow ones."""
PIECES = 8
"""Pieces in which a slow file comes."""
PAUSES_S = (0.2, 2.5)
"""Shortest and longest pause between two pieces."""
COUNTING_S = 0.05
"""Seconds that counting one picture takes."""
LAST_S = 5.0
"""Seconds without a counted picture after which none is expected any more."""

_Written = tuple[str, float]
"""The SHA-256 of a picture, and the seconds for which it lay complete under its name."""


class OverwrittenFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the pictures. Times are seconds."""

    overwritten: int
    slow_files: int
    lost: int
    lost_slow_files: int
    longest_lost: float
    """How long the picture lay complete that was lost after the longest time."""
    shortest_gap: float
    burners: int
    niceness: int
    load: float
    """The machine's load average at the end."""


def measure_overwrites(
    disk: Path, *, seconds: float, slow: int, burners: int, niceness: int, gap: tuple[float, float]
) -> OverwrittenFigures:
    """Overwrite a name for so many seconds, and count what the folder camera gives.

    `slow` files come slowly beside it, and `burners` processes of a niceness use the processor.
    `gap` is the shortest and the longest time for which a picture lies complete.
    """
    spawn = multiprocessing.get_context("spawn")
    with TemporaryDirectory(dir=disk) as top:
        folder = Path(top) / "in"
        folder.mkdir()
        ended, written = spawn.Event(), spawn.Queue()
        writer = spawn.Process(target=_write, args=(folder, seconds, slow, gap, written))
        others = [
            spawn.Process(target=_burn, args=(ended, seconds + 60, niceness))
            for _ in range(burners)
        ]
        for process in others:
            process.start()
        counted = set[str]()
        try:
            with _counting(folder, counted):
                writer.start()
                overwritten, slow_files = written.get(timeout=seconds + 120)
                load = os.getloadavg()[0]
                ended.set()
                _wait_while_growing(counted)
        finally:
            ended.set()
            for process in (writer, *others):
                process.join(30)
    lost = [lay for digest, lay in overwritten if digest not in counted]
    return OverwrittenFigures(
        overwritten=len(overwritten),
        slow_files=len(slow_files),
        lost=len(lost),
        lost_slow_files=sum(digest not in counted for digest, _ in slow_files),
        longest_lost=round(max(lost, default=0.0), 3),
        shortest_gap=gap[0],
        burners=burners,
        niceness=niceness,
        load=round(load, 1),
    )


@contextmanager
def _counting(folder: Path, counted: set[str]) -> Iterator[None]:
    """Count what the folder gives within the block: SHA-256 of each picture."""
    camera = FolderCamera(folder, beside=True)
    stop = threading.Event()

    def count() -> None:
        while not stop.is_set():
            try:
                shot = camera.next(0.25)
            except Park:
                continue
            if shot is not None:
                time.sleep(COUNTING_S)
                camera.confirm()
                counted.add(shot.digest)

    thread = threading.Thread(target=count, name="count")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        camera.close()


def _wait_while_growing(counted: set[str]) -> None:
    """Wait until nothing more has been counted for `LAST_S`."""
    size, deadline = -1, time.monotonic()
    while len(counted) > size or time.monotonic() < deadline:
        if len(counted) > size:
            size, deadline = len(counted), time.monotonic() + LAST_S
        time.sleep(0.1)


def _burn(ended: Event, seconds: float, niceness: int) -> None:
    """Use the processor, and the disk's cache, until the end."""
    os.nice(niceness)
    until = time.monotonic() + seconds
    while not ended.is_set() and time.monotonic() < until:
        hashlib.sha256(bytes(4 << 20)).digest()


def _write(
    folder: Path,
    seconds: float,
    slow: int,
    gap: tuple[float, float],
    written: "Queue[tuple[list[_Written], list[_Written]]]",
) -> None:
    """Write for so many seconds, and tell what was written."""
    small, large = _picture(SMALL), _picture(LARGE)
    until = time.monotonic() + seconds
    slow_files = list[_Written]()
    threads = [
        threading.Thread(target=_write_slowly, args=(folder, large, number, until, slow_files))
        for number in range(slow)
    ]
    for thread in threads:
        thread.start()
    overwritten = _overwrite(folder, small, until, gap)
    for thread in threads:
        thread.join()
    written.put((overwritten, slow_files))


def _picture(size: tuple[int, int]) -> bytes:
    cells = np.random.default_rng(size[0]).integers(0, 255, (*size, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.GaussianBlur(cells, (0, 0), 1.5))[1].tobytes()


def _numbered(picture: bytes, number: str) -> bytes:
    """Return a JPEG with a comment, so that its bytes are its own."""
    text = number.encode()
    return picture[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + picture[2:]


def _overwrite(
    folder: Path, picture: bytes, until: float, gap: tuple[float, float]
) -> list[_Written]:
    """Overwrite one name, in place or by renaming; the last picture stays."""
    chance, found = random.Random(1), list[_Written]()
    path, digest, complete = folder / "scan.jpg", "", 0.0
    while time.monotonic() < until:
        content = _numbered(picture, str(len(found)))
        renamed = chance.random() < 0.5
        if renamed:
            (folder / "scan.tmp").write_bytes(content)
        gone = time.monotonic()
        if renamed:
            (folder / "scan.tmp").rename(path)
        else:
            path.write_bytes(content)
        if digest:
            found.append((digest, gone - complete))
        digest, complete = hashlib.sha256(content).hexdigest(), time.monotonic()
        time.sleep(chance.uniform(*gap))
    found.append((digest, 9.0))
    return found


def _write_slowly(
    folder: Path, picture: bytes, number: int, until: float, written: list[_Written]
) -> None:
    """Write one file after the other, each in pieces."""
    chance, count = random.Random(number), 0
    while time.monotonic() < until:
        content = _numbered(picture, f"{number}-{count}")
        size = len(content) // PIECES + 1
        with (folder / f"slow-{number}-{count}.jpg").open("wb", buffering=0) as file:
            for at in range(0, len(content), size):
                file.write(content[at : at + size])
                time.sleep(chance.uniform(*PAUSES_S))
        written.append((hashlib.sha256(content).hexdigest(), 0.0))
        count += 1
