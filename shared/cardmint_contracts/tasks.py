"""Review tasks, as they lie retained on the broker while they are open."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.cards import Candidate, Image
from cardmint_contracts.wire import Code, Downward, Instant


class ReviewTask(Downward, frozen=True):
    """A card that a person must look at. A closed task is an empty payload on the same topic."""

    task: UUID
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    scan: UUID
    opened: Instant
    reasons: tuple[Code, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    image: Image | None = None
