"""What the page shows and changes: declared here, wired in `app`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cardmint_contracts.cards import Card, CardId, ScanDefaults
from cardmint_edge.page.views import View
from cardmint_edge.review_tasks import Answered


class Images(Protocol):
    """Has the images' bytes."""

    def thumbnail(self, digest: str) -> bytes | None:
        """Return an image's bytes, or those of what is left of it; None when nothing is."""
        ...


class Answers(Protocol):
    """Takes answers to tasks, and what else is done with them."""

    def undo(self, task: UUID, by: str) -> Answered:
        """Take back the answer that overruled ours."""
        ...

    def seen(self, task: UUID) -> None:
        """Say no more of an answer that did not count."""
        ...

    def scan_next(self, task: UUID) -> Answered:
        """Have the next shot be another scan of a task's card."""
        ...

    def answer(self, task: UUID, version: int, card: CardId | None, by: str) -> Answered:
        """Take a person's answer."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """`view` takes a notice for the operator; `commits` waits as the database's does.

    `live` is the camera's picture as JPEG, None without one. `withdraw` says whether the scan was
    there; `capture` whether the camera can be told to take a photo.
    """

    station: str
    view: Callable[[str], View]
    commits: Callable[[int, float], int]
    images: Images
    answers: Answers
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
