"""The receipt: what Postgres has committed.

A station forgets an event only when a receipt covers it.
"""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.wire import Count, Downward


class Receipt(Downward, frozen=True):
    """`sequence` is the highest up to which everything of `stream` is committed; 0 when nothing is.

    `refused` is set when a batch left a gap: it began at that sequence, and the station sends again
    from `sequence + 1`.
    """

    stream: UUID
    sequence: Count
    refused: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
