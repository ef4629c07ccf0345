"""A person's answer on the dashboard into the log: an event like any station's, by the same way in."""

from datetime import datetime
from typing import Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from cardmint_cloud.adapters.postgres import inventory, log
from cardmint_cloud.domain.inventory import Review
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.ingest import Batch, Committed, commit
from cardmint_contracts import topics
from cardmint_contracts.cards import Card
from cardmint_contracts.envelope import seal
from cardmint_contracts.events import ReviewAnswered

Verdict = Literal["card", "no_card"]


def stream_of(tenant: str, user: str) -> UUID:
    """Return the stream that a user's answers are numbered in."""
    return uuid5(NAMESPACE_URL, f"cardmint:{tenant}:{user}")


async def answer(
    pool: Any,
    tenant: str,
    task: UUID,
    *,
    version: int,
    verdict: Verdict,
    card: Card | None,
    user: str,
    now: datetime,
) -> Committed:
    """Answer version `version` of a review task: the first answer that is committed wins.

    Raises:
        NotFound: the tenant has no such task.
        Conflict: it was answered before, or is of another version; the message says who answered what.
        BadTopic: `user` is no name.
        ValueError: `card` is not set exactly when the verdict is "card".
    """
    source = f"/users/{topics.name(user)}"
    stream = stream_of(tenant, user)
    async with pool.acquire() as connection, connection.transaction():
        marks = await log.lock_streams(connection, {(tenant, stream): source}, now)
        _, reviews = await inventory.load(connection, [], [(tenant, task)])
        review = reviews.get((tenant, task))
        if review is None:
            raise NotFound(f"there is no review task {task}")
        if not review.open or review.version != version:
            raise Conflict(_told(review))
        sequence = marks[tenant, stream][1] + 1
        event = ReviewAnswered(task=task, task_version=version, scan=review.item, verdict=verdict, by=user, card=card)
        envelope = seal(
            event,
            source=source,
            time=now,
            stream=stream,
            sequence=sequence,
            bootid=stream,
            monotonic_ms=0,
            clock_synced=True,
        )
        batch = Batch(
            tenant=tenant,
            origin=user,
            stream=stream,
            first=sequence,
            last=sequence,
            source=source,
            topic="",
            envelopes=(envelope,),
        )
        return await commit(connection, [batch], now)


def _told(review: Review) -> str:
    """Say who answered what."""
    if review.open:
        return f"this question has changed; it is at version {review.version} now"
    said = f"{review.card.name} {review.card.number}".strip() if review.card else "no card"
    when = f" at {review.closed_at:%H:%M:%S} UTC" if review.closed_at else ""
    return f"{review.answered_by} answered first{when}: {said}"
