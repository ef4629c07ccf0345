"""Events of the feed as programs get them."""

from uuid import UUID

from cardmint_cloud.adapters.postgres.feed import StoredEntry
from cardmint_contracts.envelope import digits
from cardmint_contracts.feed import FeedEvent


def event_of(tenant: str, stream: UUID, number: int, entry: StoredEntry) -> FeedEvent:
    """Return a numbered entry as a CloudEvent."""
    return FeedEvent(
        id=f"{stream}/{number}",
        source=f"/tenants/{tenant}",
        type=entry.type,
        time=entry.time,
        stream=stream,
        sequence=digits(number),
        data=entry.data,
    )
