"""Questions that the cloud opens about counted cards, by rule or by chance, and their ageing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cardmint_cloud.adapters.postgres import across
from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    PostgresConnection,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.prices import quotes
from cardmint_cloud.adapters.postgres.reviews import questions
from cardmint_cloud.adapters.postgres.reviews.questions import UnreviewedCard
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.review_rules import (
    CountedCard,
    ReviewRules,
    drawn_for_audit,
    review_reasons,
)
from cardmint_cloud.reviews.answers import append_user_events, lock_user_stream
from cardmint_contracts.cards import Candidate
from cardmint_contracts.events import (
    EventData,
    Question,
    RecogniserIdentity,
    ReviewAged,
    ReviewOpened,
)
from cardmint_contracts.reasons import Reason

USER = "rules"
"""User name under which the rules open questions."""

LIMIT = 500
_EVER, _FIRST = datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0)
_LOOK_BACK = timedelta(minutes=2)
"""Time by which a scan for new cards starts before the last one ended.

Transactions do not commit in the order of their clocks; a late one is found then.
"""


async def open_for_new_cards(pool: Pool, rules: ReviewRules, now: datetime) -> int:
    """Apply the rules to the cards received since the last run, of every tenant.

    Return how many questions were opened. A question that is opened twice stays one, because its
    identifier derives from its scan.
    """
    asked = 0
    tenants = await across.list_tenants(pool)
    for tenant in tenants:
        async with tenant_transaction(pool, tenant) as connection:
            mark = await questions.rules_mark(connection, tenant)
        cursor: tuple[datetime, UUID] | None = (mark or _EVER, _FIRST)
        while cursor is not None:
            opened, cursor = await _page(pool, rules, tenant, cursor, now)
            asked += opened
        async with tenant_transaction(pool, tenant) as connection:
            await questions.set_rules_mark(connection, tenant, now - _LOOK_BACK)
    return asked


async def _page(
    pool: Pool, rules: ReviewRules, tenant: str, after: tuple[datetime, UUID], now: datetime
) -> tuple[int, tuple[datetime, UUID] | None]:
    """Open questions about one page of cards, in one transaction.

    Return their number, and where the next page begins.
    """
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, USER, now)
        found = await questions.unreviewed_cards(connection, tenant, after, now, limit=LIMIT)
        opened = await _questions_for(connection, rules, tenant, found, now, chance=True)
        if opened:
            await append_user_events(connection, tenant, USER, opened, now=now, sequence=sequence)
    return len(opened), (found[-1].received_at, found[-1].item) if len(found) == LIMIT else None


async def open_for_printing(
    pool: Pool, rules: ReviewRules, tenant: str, card_id: str, now: datetime
) -> int:
    """Apply the rules to the counted cards of a printing whose price has changed.

    Return how many questions were opened.
    """
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, USER, now)
        found = await questions.unreviewed_cards(
            connection, tenant, (_EVER, _FIRST), now, card_id=card_id, limit=LIMIT
        )
        opened = await _questions_for(connection, rules, tenant, found, now, chance=False)
        if opened:
            await append_user_events(connection, tenant, USER, opened, now=now, sequence=sequence)
    return len(opened)


async def _questions_for(
    connection: PostgresConnection,
    rules: ReviewRules,
    tenant: str,
    found: Sequence[UnreviewedCard],
    now: datetime,
    *,
    chance: bool,
) -> list[EventData]:
    """Return the questions about cards: by a rule, or else by chance."""
    opened: list[EventData] = []
    known = await quotes.known_quotes(connection, tenant, {one.card.id for one in found}, now)
    for one in found:
        counted = CountedCard(
            scan=one.item,
            confidence=one.confidence,
            margin=one.margin,
            finish=one.finish,
            edition=one.edition,
            duplicate=one.scan.possible_duplicate_of is not None,
            quotes=known[one.card.id],
        )
        reasons = review_reasons(rules, counted)
        why = "rules" if reasons else "audit" if chance and drawn_for_audit(rules, one.item) else ""
        if why:
            opened.append(
                ReviewOpened(
                    task=review_task_id(one.item, why),
                    scan=one.item,
                    question=_question(reasons),
                    reasons=reasons or (Reason.RANDOM_AUDIT,),
                    by=f"{USER}/{rules.version}",
                    card=one.card,
                    recogniser=recogniser_label(one.scan.recogniser),
                    hold=bool(rules.held.intersection(reasons)),
                    candidates=_candidates(one),
                    image=one.scan.image,
                )
            )
    return opened


def _question(reasons: Sequence[str]) -> Question:
    """Return the question that rules with these `reasons` ask; no reasons mean an audit."""
    if Reason.POSSIBLE_DUPLICATE in reasons:
        return Question.DUPLICATE
    return Question.PRINTING if reasons else Question.AUDIT


def _candidates(one: UnreviewedCard) -> tuple[Candidate, ...]:
    """Return the counted printing, then the other candidates of the scan."""
    others = [candidate for candidate in one.scan.candidates if candidate.card.id != one.card.id]
    return (Candidate(card=one.card, confidence=one.confidence), *others[:7])


def recogniser_label(recogniser: RecogniserIdentity) -> str:
    """Return the method with the versions of its models and rules, by which audits are grouped.

    The catalogue's version is left out.
    """
    versions = dict(sorted(recogniser.models.items()))
    if recogniser.rules:
        versions["rules"] = recogniser.rules
    parts = [f"{name}={version}" for name, version in versions.items()]
    return " ".join([recogniser.method, *parts])[:200]


async def age_reviews(pool: Pool, now: datetime, *, escalate: timedelta, expire: timedelta) -> int:
    """Escalate questions open for `escalate`, expire audits open for `expire`; return how many."""
    aged = 0
    tenants = await across.list_tenants(pool)
    for tenant in tenants:
        async with tenant_transaction(pool, tenant) as connection:
            sequence = await lock_user_stream(connection, tenant, USER, now)
            found = await questions.overdue_reviews(
                connection, tenant, before=now - escalate, audits_before=now - expire, limit=LIMIT
            )
            events = [
                ReviewAged(
                    task=row["task"],
                    task_version=row["version"],
                    scan=row["item"],
                    outcome="expired" if row["audit"] else "escalated",
                )
                for row in found
            ]
            if events:
                await append_user_events(
                    connection, tenant, USER, events, now=now, sequence=sequence
                )
        aged += len(events)
    return aged
