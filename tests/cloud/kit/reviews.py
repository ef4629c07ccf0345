"""Review rules of which a test sets some, and a person's answers."""

from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.review_rules import ReviewRules
from cardmint_cloud.reviews.answers import submit_answer
from cardmint_contracts.cards import Card
from tests.cloud.kit.cards import NOW

NO_RULES = ReviewRules(
    version="1",
    low_confidence=0,
    small_margin=0,
    high_value=0,
    spread=0,
    duplicates=False,
    audit=0,
    held=frozenset(),
)


def review_rules(**more: Any) -> ReviewRules:
    """Return rules that are all off but for those given."""
    return ReviewRules(
        **{**{name: getattr(NO_RULES, name) for name in ReviewRules.__slots__}, **more}
    )


async def answer_review(
    pool: Pool, task: UUID, card: Card | None, *, version: int = 1, user: str = "ann", **more: Any
) -> Any:
    verdict: Any = "card" if card else "no_card"
    values = {"now": NOW, **more}
    return await submit_answer(
        pool, "shop", task, version=version, verdict=verdict, card=card, user=user, **values
    )
