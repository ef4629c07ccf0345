"""A watched folder as a camera: another program writes files there, and each becomes a shot."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import structlog

from cardmint_edge.adapters.cameras.counted_files import CountedFiles
from cardmint_edge.adapters.cameras.file_names import printable
from cardmint_edge.adapters.cameras.file_notices import FileNotices
from cardmint_edge.adapters.cameras.file_reading import ReadFile, decode, read_file
from cardmint_edge.adapters.cameras.folder_intake import (
    MOST_SHOWN,
    POLL_S,
    FolderIntake,
    TakenFile,
)
from cardmint_edge.adapters.cameras.folder_places import (
    AGAIN,
    COUNTING,
    COUNTING_AGAIN,
    DONE,
    WAITING,
    FolderPlaces,
    Stamp,
    same_content,
)
from cardmint_edge.adapters.cameras.other_forms import OTHER_FORM, OtherForms
from cardmint_edge.adapters.cameras.saved_again import RecentPictures
from cardmint_edge.adapters.decode import Unreadable
from cardmint_edge.adapters.open_files import has_writer
from cardmint_edge.adapters.photo_time import taken_at
from cardmint_edge.adapters.picture_end import PicturePart, picture_part
from cardmint_edge.capture import Shot, SourceFile, SourceFiles
from cardmint_edge.domain.same_shot import SameShot, mark_of
from cardmint_edge.errors import Retry

OVERWRITTEN = "overwritten"
"""Reason of a file into which a program wrote another picture before it was counted."""
_OVERWRITTEN = (
    "a program that kept it open wrote another picture into it before the first was counted; the"
    " first is lost: let the program close each file, or use a new name for each"
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Given:
    """The file whose shot is given and not confirmed.

    `origin` is where it lay in the folder, `part` the picture in it.
    """

    place: str
    path: Path
    stamp: Stamp
    origin: Path
    taken: tuple[str, str]
    part: PicturePart
    shot: Shot = field(repr=False)


class FolderCamera:
    """Gives the files of a folder in the natural order of their names, each as one shot.

    Sub-folders are watched, too. A file that has not changed for `settle_s` and is complete is
    moved to `waiting/` at once, so that a file of the same name that comes later is another one. In
    its turn it is moved to `counting/`, and to `done/` when its shot is confirmed. What is no
    usable picture stays where it is, and is read again when it changes; without a change for 30 s
    it is moved to `parked/`, with the reason in a file beside it. After a restart a shot that was
    never confirmed is still in `counting/`, and comes before any other.

    Raw files, files beside pictures, unfinished files and links are left alone.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settle_s: float = 0.3,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        read: ReadFile = read_file,
        has_writer: Callable[[Path], bool] = has_writer,
        beside: bool = False,
    ) -> None:
        """Take the folder, which may be away.

        `read` reads a file as `read_file` does. `has_writer` returns whether another program has a
        file open for writing, False where that is not known. `beside`: a thread takes
        files while a card is recognised, too.
        """
        self._folder = folder
        self._clock = clock
        self._sleep = sleep
        self._read = read
        self._places = FolderPlaces(folder)
        self._notices = FileNotices(clock)
        self._intake = FolderIntake(
            folder,
            self._places,
            settle_s=settle_s,
            clock=clock,
            read=read,
            has_writer=has_writer,
            notices=self._notices,
        )
        self._forms = OtherForms(self._places, read)
        self._counted = CountedFiles(self._places, read, clock)
        self._pictures = RecentPictures()
        self._given: _Given | None = None
        self._unfinished_at = clock()
        self._closed = threading.Event()
        self._thread = (
            threading.Thread(target=self._keep_taking, name="folder", daemon=True)
            if beside
            else None
        )

    @property
    def name(self) -> str:
        """The camera's name."""
        return "folder"

    @property
    def done(self) -> bool:
        """False: another file may always come."""
        return False

    @property
    def files(self) -> SourceFiles:
        """The files that gave no scan."""
        return self

    def next(self, timeout_s: float) -> Shot | None:
        """Wait for a complete file. An unconfirmed file comes again.

        Raises:
            Park: the file cannot be used, and was moved to `parked/`.
            Retry: the folder is missing, or no file can be moved.
        """
        if self._thread is not None and self._thread.ident is None:
            self._thread.start()
        if self._given is not None:
            if self._places.stamp(self._given.place, self._given.path) is not None:
                return self._given.shot
            self._given = None  # somebody removed the file
        until = self._clock() + timeout_s
        while True:
            if self._thread is None or self._intake.first() is None:
                self._intake.look()
            self._counted.look()
            self._given = self._unfinished() or self._first_waiting()
            if self._given is not None:
                return self._given.shot
            left = until - self._clock()
            if left <= 0:
                return None
            self._sleep(min(POLL_S, left))

    def take(self) -> float:
        """Take complete files while a card is recognised. What goes wrong is for `next` to say.

        Returns the seconds until there is more to do.
        """
        with suppress(Retry):
            return min(self._intake.take(), POLL_S)
        return POLL_S

    def capture(self) -> bool:
        """Return False: this camera takes no shot on command."""
        return False

    def confirm(self) -> None:
        """Move the last shot's file to `done/`.

        Raises:
            Retry: the file cannot be moved.
        """
        given = self._given
        if given is None:
            return
        stamp = self._places.stamp(given.place, given.path)
        if stamp is None:
            log.warning("a counted file was removed meanwhile", file=given.shot.origin)
        else:
            # A program that had the file open may have written the next picture into it.
            whole = same_content(stamp, given.stamp) or self._has_more(given)
            to = DONE if whole else ""
            path = self._places.move(given.place, given.path, to, name=given.origin)
            if whole:
                mark = mark_of(given.shot.frame, given.taken)
                self._counted.add(path, given.origin, stamp, given.shot.digest, mark)
        self._pictures.add(given.origin, given.shot, given.taken)
        self._given = None

    def _has_more(self, given: _Given) -> bool:
        """Return whether a given file that changed still begins with the picture of the shot."""
        try:
            content, _ = self._read(self._places.at(given.place, given.path))
        except (FileNotFoundError, Unreadable):
            return False
        return given.part.begins(content)

    def set_aside(self, reason: str, message: str) -> None:
        """Move the last shot's file to `parked/`.

        Raises:
            Retry: the file cannot be moved.
        """
        given = self._given
        if given is not None:
            self._places.park(given.place, given.path, reason, message, name=given.origin)
            self._given = None

    def close(self) -> None:
        """Take no more files."""
        self._closed.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()

    def parked(self, limit: int = MOST_SHOWN) -> Sequence[SourceFile]:
        """Return files that were set aside, the newest first."""
        return self._places.parked(limit)

    def waiting(self, limit: int = MOST_SHOWN) -> Sequence[SourceFile]:
        """Return files that still lie in the folder and are not usable now, or are left alone."""
        return (*self._intake.troubled, *self._notices.shown)[:limit]

    def retry(self, key: str) -> bool:
        """Try a parked file once more; a picture that was counted before counts again."""
        return self._places.retry(key)

    def dismiss(self, key: str) -> bool:
        """Move a parked file to `dismissed/`."""
        return self._places.dismiss(key)

    def _keep_taking(self) -> None:
        pause = POLL_S
        while not self._closed.wait(pause):
            pause = self.take()

    def _unfinished(self) -> _Given | None:
        """Return what comes before all others; look for it when it is time to."""
        began = self._clock()
        if began < self._unfinished_at:
            return None
        given = self._resumed() or self._wanted_again()
        self._unfinished_at = self._clock() + max(POLL_S, 5 * (self._clock() - began))
        return given

    def _resumed(self) -> _Given | None:
        """Return the file whose shot was given before a restart and not confirmed."""
        for place in (COUNTING, COUNTING_AGAIN):
            for path in self._places.files(place):
                given = self._from(place, path, resumed=True, again=place == COUNTING_AGAIN)
                if given is not None:
                    return given
        return None

    def _wanted_again(self) -> _Given | None:
        """Return a file that the operator wants counted again."""
        for path in self._places.files(AGAIN):
            given = self._from(AGAIN, path, again=True)
            if given is not None:
                counting = self._places.move(AGAIN, path, COUNTING_AGAIN)
                return replace(given, place=COUNTING_AGAIN, path=counting)
        return None

    def _from(
        self, place: str, path: Path, *, resumed: bool = False, again: bool = False
    ) -> _Given | None:
        """Return the shot of a file in a place; lay what cannot be used back into the folder."""
        try:
            content, stamp = self._read(self._places.at(place, path))
            shot = _shot(path, content, resumed=resumed, again=again)
        except FileNotFoundError:
            return None
        except Unreadable:
            # It is treated as any other file; its digest still says whether it counted.
            self._places.move(place, path, "")
            return None
        return _Given(place, path, stamp, path, taken_at(content), picture_part(content), shot)

    def _first_waiting(self) -> _Given | None:
        """Return the shot of the first file that was taken and can be used."""
        while (taken := self._intake.first()) is not None:
            try:
                content, stamp = self._read(self._places.at(WAITING, taken.path))
                shot = _shot(taken.origin, content)
            except FileNotFoundError:
                self._places.check_present()
                self._intake.remove(taken)
                continue
            except Unreadable as error:
                self._intake.put_back(taken, error)
                continue
            if self._is_other_form(taken, shot, content):
                continue
            self._check_saved_again(taken, shot, content)
            counting = self._places.move(WAITING, taken.path, COUNTING)
            self._intake.remove(taken)
            part = taken.part
            if not same_content(stamp, taken.stamp) and not (part and part.begins(content)):
                part = None
                self._notices.add(taken.origin, OVERWRITTEN, _OVERWRITTEN, len(content))
                log.warning(
                    "a picture was overwritten by a program that kept it open",
                    file=printable(taken.origin),
                )
            part = part or picture_part(content)
            return _Given(COUNTING, counting, stamp, taken.origin, taken_at(content), part, shot)
        return None

    def _is_other_form(self, taken: TakenFile, shot: Shot, content: bytes) -> bool:
        """Lay a file aside whose shot was counted from another file. Returns whether it was.

        Raises:
            Unreadable: it may be of the same shot, and was parked.
        """
        same, counted = self._forms.counted_as(taken.origin, shot.frame, content)
        if same is SameShot.NO:
            return False
        if same is SameShot.YES:
            self._places.move(WAITING, taken.path, DONE, name=taken.origin)
            self._intake.remove(taken)
            message = (
                f"the same shot as {printable(counted)}, which was counted; it lies in {DONE}/"
            )
            self._notices.add(taken.origin, OTHER_FORM, message, len(content))
            log.info("another form of a counted file", file=shot.origin, of=printable(counted))
            return True
        self._park_other_form(
            taken,
            f"by its name it is another form of {printable(counted)}, which was counted; if it"
            " shows another card, count it anyway",
        )
        return False

    def _check_saved_again(self, taken: TakenFile, shot: Shot, content: bytes) -> None:
        """Park a picture that a program saved again after it was counted.

        Raises:
            Unreadable: it was parked.
        """
        counted = self._pictures.counted_as(shot, taken_at(content))
        if counted is not None:
            message = (
                f"the same picture as {printable(counted)}, which was counted, saved again; if it"
                " shows another card, count it anyway"
            )
            self._park_other_form(taken, message)

    def _park_other_form(self, taken: TakenFile, message: str) -> None:
        self._places.park(WAITING, taken.path, OTHER_FORM, message, name=taken.origin)
        self._intake.remove(taken)
        raise Unreadable(OTHER_FORM, f"{printable(taken.origin)}: {message}")


def _shot(path: Path, content: bytes, *, resumed: bool = False, again: bool = False) -> Shot:
    """Decode a file to a shot.

    Raises:
        Unreadable: it is no usable picture.
    """
    return Shot(
        frame=decode(content, path),
        origin=printable(path),
        digest=sha256(content).hexdigest(),
        resumed=resumed,
        again=again,
    )
