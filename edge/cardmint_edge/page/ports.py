"""What the page shows and changes: declared here, wired in `app`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cardmint_contracts.cards import Card, CardId, ScanDefaults
from cardmint_edge.page.views import StationView
from cardmint_edge.review_tasks import AnswerResult


class ThumbnailSource(Protocol):
    """Has the images' bytes."""

    def thumbnail(self, digest: str) -> bytes | None:
        """Return an image's bytes, or those of what is left of it; None when nothing is."""
        ...


class ReviewAnswers(Protocol):
    """Takes answers to tasks, and what else is done with them."""

    def undo(self, task: UUID, by: str) -> AnswerResult:
        """Take back the answer that overruled ours."""
        ...

    def dismiss(self, task: UUID) -> None:
        """Show an overruled answer no more."""
        ...

    def scan_next(self, task: UUID) -> AnswerResult:
        """Have the next shot be another scan of a task's card."""
        ...

    def answer(self, task: UUID, version: int, card: CardId | None, by: str) -> AnswerResult:
        """Take a person's answer."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PagePorts:
    """`view` takes a notice for the operator; `commits` waits as the database's does.

    `live` is the camera's picture as JPEG, None without one. `withdraw` says whether the scan was
    there; `capture` whether the camera can be told to take a photo.
    """

    station: str
    view: Callable[[str], StationView]
    commits: Callable[[int, float], int]
    images: ThumbnailSource
    answers: ReviewAnswers
    search: Callable[[str], Sequence[Card]]
    defaults: Callable[[], ScanDefaults]
    set_defaults: Callable[[ScanDefaults], None]
    withdraw: Callable[[UUID], bool]
    skip: Callable[[UUID], None]
    capture: Callable[[], bool]
    live: Callable[[], bytes | None]
    pause_uploads: Callable[[bool], None]
    metrics: Callable[[], bytes]
    pin: str = ""
