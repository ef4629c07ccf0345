"""Review tasks, as they lie retained on the broker while they are open, and how they ended."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.cards import Candidate, Card, Image
from cardmint_contracts.wire import Code, Downward, Instant, Line


class ReviewTask(Downward, frozen=True):
    """A card that a person must look at. A closed task is an empty payload on the same topic.

    `place` is set when the card itself is asked for: where it lies, to be scanned again or looked
    at.
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
    """How a task was closed.

    Told to the station so that whoever answered differently there learns of it and can undo.

    `version` is the closed task's: what an undo must name.
    """

    task: UUID
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    scan: UUID
    verdict: Code
    by: Line
    at: Instant
    card: Card | None = None
