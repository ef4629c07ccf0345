"""Answers that people give on the dashboard, committed as events like those of stations."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    PostgresConnection,
    see_all,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.ingest import event_log, inventory
from cardmint_cloud.adapters.postgres.reviews import questions
from cardmint_cloud.domain.items import Review
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.ingest.commit import CommitResult, commit
from cardmint_cloud.ingest.read import EventBatch
from cardmint_contracts import topics
from cardmint_contracts.cards import Card, Edition, Finish, Language
from cardmint_contracts.envelope import seal
from cardmint_contracts.errors import BadTopic
from cardmint_contracts.events import EventData, RescanRequested, ReviewAnswered, ReviewUndone

CardVerdict = Literal["card", "no_card"]
LEASE_LENGTH = timedelta(minutes=2)


def user_stream(tenant: str, user: str) -> UUID:
    """Return the stream in which a user's events are numbered."""
    return uuid5(NAMESPACE_URL, f"cardmint:{tenant}:{user}")


def user_handle(user: str) -> str:
    """Return a user's name as the source of their events has it.

    Most names are it themselves; any other gets its letters and a digest, such as
    `anna-muller-1f0c9a3e`.
    """
    try:
        return topics.name(user)
    except BadTopic:
        plain = unicodedata.normalize("NFKD", user).encode("ascii", "ignore").decode().lower()
        letters = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:40].rstrip("-") or "user"
        return f"{letters}-{hashlib.sha256(user.encode()).hexdigest()[:8]}"


async def append_user_events(
    connection: PostgresConnection,
    tenant: str,
    user: str,
    events: Sequence[EventData],
    *,
    now: datetime,
    sequence: int,
) -> CommitResult:
    """Append a user's events after `sequence`, the last number of their locked stream.

    What they change was checked before, within the user's reach; what follows from them is the
    tenant's.
    """
    await see_all(connection)
    stream = user_stream(tenant, user)
    handle = user_handle(user)
    source = f"/users/{handle}"
    envelopes = tuple(
        seal(
            event,
            source=source,
            time=now,
            stream=stream,
            sequence=sequence + number,
            bootid=stream,
            monotonic_ms=0,
            clock_synced=True,
        )
        for number, event in enumerate(events, start=1)
    )
    batch = EventBatch(
        tenant=tenant,
        origin=handle,
        stream=stream,
        first=sequence + 1,
        last=sequence + len(envelopes),
        source=source,
        topic="",
        envelopes=envelopes,
    )
    return await commit(connection, [batch], now)


async def lock_user_stream(
    connection: PostgresConnection, tenant: str, user: str, now: datetime
) -> int:
    """Lock a user's stream and return its last sequence."""
    source, stream = f"/users/{user_handle(user)}", user_stream(tenant, user)
    marks = await event_log.lock_streams(connection, {(tenant, stream): source}, now)
    return marks[tenant, stream].sequence


async def submit_answer(
    pool: Pool,
    tenant: str,
    task: UUID,
    *,
    version: int,
    verdict: CardVerdict,
    card: Card | None,
    user: str,
    now: datetime,
    lease: UUID | None = None,
    language: Language | None = None,
    finish: Finish | None = None,
    edition: Edition | None = None,
) -> CommitResult:
    """Answer version `version` of a review task; the first committed answer wins.

    `language`, `finish` and `edition` are the card's; None leaves the one it has. `lease` is the
    token of a question's lease; an answer does not need one.

    Raises:
        NotFound: the tenant has no such task.
        Conflict: it was answered before, has another version, or the lease ended; the message says
            what is true now.
        ValueError: `card` is set without the verdict "card", or the other way round.
    """
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, user, now)
        review = await _load_review(connection, tenant, task)
        if not review.open or review.version != version:
            raise Conflict(_answer_conflict(review))
        if lease is not None:
            held = await questions.find_lease(connection, tenant, task)
            if held is None or held.token != lease or held.until <= now:
                raise Conflict(_lease_conflict(held, lease, now))
        event = ReviewAnswered(
            task=task,
            task_version=version,
            scan=review.item,
            verdict=verdict,
            by=user,
            card=card,
            language=language if card else None,
            finish=finish if card else None,
            edition=edition if card else None,
        )
        done = await append_user_events(
            connection, tenant, user, [event], now=now, sequence=sequence
        )
        await questions.release_lease(connection, tenant, task)
        return done


async def undo_answer(
    pool: Pool, tenant: str, task: UUID, *, version: int, user: str, now: datetime
) -> CommitResult:
    """Undo the answer that closed a task: it is open again and the card is as before.

    Raises:
        NotFound: the tenant has no such task.
        Conflict: it is open, has another version, or another answer changed the card since.
    """
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, user, now)
        review = await _load_review(connection, tenant, task)
        if review.open or review.version != version:
            raise Conflict(
                _answer_conflict(review)
                if review.open
                else f"this is at version {review.version} now"
            )
        event = ReviewUndone(task=task, task_version=version, scan=review.item, by=user)
        done = await append_user_events(
            connection, tenant, user, [event], now=now, sequence=sequence
        )
        if done.changes.superseded:
            raise Conflict(
                "the card was changed by another answer since, or nobody answered: there is"
                " nothing to undo"
            )
        return done


async def request_rescan(
    pool: Pool, tenant: str, task: UUID, *, version: int, user: str, now: datetime
) -> str:
    """Ask the station for the card itself, with the task's next version; return where it lies.

    Raises:
        NotFound: the tenant has no such task.
        Conflict: it was answered before, or has another version.
    """
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, user, now)
        review = await _load_review(connection, tenant, task)
        if not review.open or review.version != version:
            raise Conflict(_answer_conflict(review))
        place = await questions.card_place(connection, tenant, review.item)
        event = RescanRequested(
            task=task, task_version=version, scan=review.item, by=user, place=place
        )
        await append_user_events(connection, tenant, user, [event], now=now, sequence=sequence)
        return place


async def lease_question(pool: Pool, tenant: str, task: UUID, *, user: str, now: datetime) -> UUID:
    """Lease a question for two minutes, or renew the lease, and return its token.

    Raises:
        NotFound: the tenant has no such task.
        Conflict: it was answered, or another person has the lease.
    """
    async with tenant_transaction(pool, tenant) as connection:
        review = await _load_review(connection, tenant, task)
        if not review.open:
            raise Conflict(_answer_conflict(review))
        token = await questions.claim_lease(
            connection, tenant, task, holder=user, now=now, length=LEASE_LENGTH
        )
        if token is None:
            held = await questions.find_lease(connection, tenant, task)
            raise Conflict(_lease_conflict(held, None, now))
        return token


async def _load_review(connection: PostgresConnection, tenant: str, task: UUID) -> Review:
    _, reviews = await inventory.load_touched(connection, [], [(tenant, task)])
    if (tenant, task) not in reviews:
        raise NotFound(f"there is no review task {task}")
    return reviews[tenant, task]


def _lease_conflict(held: questions.QuestionLease | None, lease: UUID | None, now: datetime) -> str:
    """Return why a lease does not count."""
    if held is not None and held.token != lease and held.until > now:
        return f"{held.holder} has this question in hand until {held.until:%H:%M:%S} UTC"
    return "your time with this question is over; take it in hand again"


def _answer_conflict(review: Review) -> str:
    """Return who answered first, and what."""
    if review.open:
        return f"this question has changed; it is at version {review.version} now"
    when = f" at {review.closed_at:%H:%M:%S} UTC" if review.closed_at else ""
    if review.verdict == "expired":
        return f"this question was given up{when}: nobody had looked for too long"
    said = f"{review.card.name} {review.card.number}".strip() if review.card else "no card"
    return f"{review.answered_by} answered first{when}: {said}"
