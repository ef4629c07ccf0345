"""Review tasks, retained on the broker while they are open, and their outcomes."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.cards import Candidate, Card, Image, Language
from cardmint_contracts.wire import Code, Downward, Instant, Line


class ReviewTask(Downward, frozen=True):
    """A question to a person about a card. A closed task is an empty payload on the same topic.

    `place` is set when the card itself is wanted, to be scanned again: it says where it lies.
    """

    task: UUID
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    scan: UUID
    opened: Instant
    reasons: tuple[Code, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    image: Image | None = None
    place: Line = ""
    escalated: bool = False


class ReviewOutcome(Downward, frozen=True):
    """The outcome of a closed task.

    Whoever answered differently at the station sees it there and can undo it. `version` is the
    closed task's, which an undo must name. `language` is the card's, where the answer said it.
    """

    task: UUID
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    scan: UUID
    verdict: Code
    by: Line
    at: Instant
    card: Card | None = None
    language: Language | None = None
