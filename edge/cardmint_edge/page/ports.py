"""The calls by which the page reads and changes the station. `app` wires them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from cardmint_contracts.cards import Card, CardId, Edition, Finish, Language, ScanDefaults
from cardmint_edge.page.photos import PhonePorts
from cardmint_edge.page.views import StationView
from cardmint_edge.review_tasks import AnswerResult


class ThumbnailSource(Protocol):
    """The images' bytes."""

    def thumbnail(self, digest: str) -> bytes | None:
        """Return an image's bytes, or its thumbnail's; None if the station has neither."""
        ...


class ReviewAnswers(Protocol):
    """The review tasks, as the page needs them."""

    def take_back(self, task: UUID, by: str) -> AnswerResult:
        """Take back an answer that was given here."""
        ...

    def count_copies(self, by: str) -> int:
        """Answer that each card of which a copy came before is another one; return how many."""
        ...

    def undo(self, task: UUID, by: str) -> AnswerResult:
        """Take back the answer that overruled ours."""
        ...

    def dismiss(self, task: UUID) -> None:
        """Show an overruled answer no more."""
        ...

    def scan_next(self, task: UUID) -> AnswerResult:
        """Count the next shot as another scan of the card that a task is about."""
        ...

    def answer(
        self,
        task: UUID,
        version: int,
        card: CardId | None,
        by: str,
        language: Language | None = None,
        *,
        finish: Finish | None = None,
        edition: Edition | None = None,
    ) -> AnswerResult:
        """Take the operator's answer."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class PagePorts:
    """The calls of the page.

    `view` takes a notice for the operator and returns what to show. `wait_for_commits` is the
    database's. `preview` returns the camera's picture as JPEG, or None. `withdraw` returns False
    if the scan was taken back before, `capture` False if the camera takes no photo on command.
    `object_to` asks about a scan that was rejected, and returns False for any other.
    `set_stack` says whether copies of one card are laid upon each other.
    `card_picture` returns a printing's picture as JPEG, None without one. `retry_file` and
    `dismiss_file` return False for a file that is gone. `dashboard` is the dashboard's address.
    """

    station: str
    view: Callable[[str], StationView]
    wait_for_commits: Callable[[int, float], int]
    images: ThumbnailSource
    answers: ReviewAnswers
    search: Callable[[str], Sequence[Card]]
    defaults: Callable[[], ScanDefaults]
    set_defaults: Callable[[ScanDefaults], None]
    withdraw: Callable[[UUID], bool]
    skip: Callable[[UUID], None]
    capture: Callable[[], bool]
    preview: Callable[[], bytes | None]
    pause_uploads: Callable[[bool], None]
    set_stack: Callable[[bool], None]
    object_to: Callable[[UUID], bool]
    metrics: Callable[[], bytes]
    phone: PhonePorts
    card_picture: Callable[[str], bytes | None]
    retry_file: Callable[[str], bool]
    dismiss_file: Callable[[str], bool]
    dashboard: str = ""
    can_capture: bool = False
    pin: str = ""
