"""Pictures that a program saves again after they were counted: turned, or in another quality."""

from collections import deque
from pathlib import Path

from cardmint_edge.capture import Shot
from cardmint_edge.domain.same_shot import fine_mark, saved_again

MOST_REMEMBERED = 100


class RecentPictures:
    """The last `MOST_REMEMBERED` counted pictures of this run of the station, 9 kB each."""

    def __init__(self) -> None:
        self._counted: deque[tuple[Path, str, str, bytes]] = deque(maxlen=MOST_REMEMBERED)

    def add(self, origin: Path, shot: Shot, taken: tuple[str, str]) -> None:
        """Remember a counted shot: its path in the folder, and the time of the camera."""
        self._counted.append((origin, shot.digest, "".join(taken), fine_mark(shot.frame)))

    def counted_as(self, shot: Shot, taken: tuple[str, str]) -> Path | None:
        """Return the path under which the picture of a shot was counted from another file.

        None where it was not, or from a file with the same bytes, which the counting knows.
        """
        mark, time = fine_mark(shot.frame), "".join(taken)
        for origin, digest, other, counted in reversed(self._counted):
            another_time = time and other and time != other
            if not another_time and saved_again(mark, counted):
                return None if digest == shot.digest else origin
        return None
