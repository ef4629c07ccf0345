"""The receipt: what the cloud has committed of a stream.

A station deletes an event only when a receipt covers it and proves that it is the same event.
"""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.wire import Code, Count, Downward, Sha256

ANOTHERS_STREAM = "stream-of-another"
"""The stream belongs to another station: begin a new one."""

OTHER_CONTENT = "other-content"
"""The cloud has other events under the sequences that were sent: begin a new stream."""

BEYOND_EVERY_STREAM = 2**63 - 1
"""Sequence of a receipt that makes a station of version 0.1.0 begin a new stream."""


class Receipt(Downward, frozen=True):
    """All events of `stream` up to `sequence` are committed; 0 means none.

    `digest` is the chain's digest at `sequence` (`chain`): the station removes events only where it
    equals its own. `database` names the database that committed them, `replaces` the earlier
    databases that it stands in for. `refused` is the first sequence of a batch that was not taken:
    after a gap the station sends again from `sequence + 1`. `reason` says why it was not taken:
    `ANOTHERS_STREAM`, `OTHER_CONTENT`, or empty for a gap.
    """

    stream: UUID
    sequence: Count
    refused: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
    digest: Sha256 | None = None
    database: UUID | None = None
    replaces: tuple[UUID, ...] = ()
    reason: Code | None = None
