"""The receipt: how far the cloud has committed a stream.

A station deletes an event only when a receipt covers it.
"""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from cardmint_contracts.wire import Count, Downward


class Receipt(Downward, frozen=True):
    """All events of `stream` up to `sequence` are committed; 0 means none.

    `refused` is the first sequence of a batch that left a gap: the station sends again from
    `sequence + 1`.
    """

    stream: UUID
    sequence: Count
    refused: Annotated[int, Meta(ge=1, le=2**63 - 1)] | None = None
