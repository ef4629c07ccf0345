"""Whether a file shows a shot that was counted from another file: HEIC beside JPEG, a thumbnail."""

from pathlib import Path

from cardmint_edge.adapters.cameras.file_names import other_forms
from cardmint_edge.adapters.cameras.file_reading import ReadFile, decode
from cardmint_edge.adapters.cameras.folder_places import DONE, FolderPlaces
from cardmint_edge.adapters.decode import Unreadable
from cardmint_edge.adapters.photo_time import taken_at
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.same_shot import SameShot, mark_of, same_shot

OTHER_FORM = "other-form"
"""Reason of a file that may show a shot that was counted from another file."""


class OtherForms:
    """Compares a file with the counted files whose names say that they may be of the same shot."""

    def __init__(self, places: FolderPlaces, read: ReadFile) -> None:
        self._places = places
        self._read = read

    def counted_as(self, path: Path, frame: Frame, content: bytes) -> tuple[SameShot, Path]:
        """Return whether the shot was counted from another file, and its name; else `path`."""
        names = [one for name in other_forms(path) for one in self._places.latest(DONE, name)]
        if not names:
            return SameShot.NO, path
        mark, unclear = mark_of(frame, taken_at(content)), None
        for counted in names:
            try:
                content, _ = self._read(self._places.at(DONE, counted))
                other = mark_of(decode(content, counted), taken_at(content))
            except (FileNotFoundError, Unreadable):
                continue  # it was removed or changed; then nothing speaks against this file
            same = same_shot(mark, other)
            if same is SameShot.YES:
                return same, counted
            unclear = unclear or (counted if same is SameShot.UNCLEAR else None)
        return (SameShot.NO, path) if unclear is None else (SameShot.UNCLEAR, unclear)
