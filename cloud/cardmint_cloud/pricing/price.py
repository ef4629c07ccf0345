"""Pricing of one card: providers are asked in order until one quotes it.

When none does, the last known price stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.adapters.postgres.prices import quotes
from cardmint_cloud.adapters.providers.http import CallWithheld, ProviderUnavailable, UnusableAnswer
from cardmint_cloud.domain.call_budget import refresh_after
from cardmint_cloud.domain.price_parsing import ImplausibleAnswer
from cardmint_cloud.domain.quotes import Quote, describe_prices, merge_current, split_believable
from cardmint_cloud.errors import NotFound, RetryLater
from cardmint_contracts.cards import Card

FRESH_FOR = timedelta(hours=24)
_EARLY = timedelta(minutes=5)
"""Time by which an answer must be younger than the refresh interval.

Otherwise each refresh would find the answer of the last one.
"""


class QuoteSource(Protocol):
    """A source of quotes."""

    name: str

    async def quotes(
        self, card: Card, now: datetime, fresh_for: timedelta = ...
    ) -> tuple[Quote, ...]:
        """Return a card's quotes.

        Raises NotFound, ProviderUnavailable, UnusableAnswer or ImplausibleAnswer when it has none.
        """
        ...


class PriceUnavailable(RetryLater):
    """No provider quoted a card, and at least one may later."""

    def __init__(self, message: str, retry_after_s: float, *, withheld: bool) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.withheld = withheld


class Unpriced(NotFound):
    """A provider knows a card and gave no price for it that can be read."""

    reason = "no-price"


@dataclass(frozen=True, kw_only=True, slots=True)
class PricingResult:
    """Which provider quoted the card, whether its history grew, and how many quotes are held."""

    source: str = ""
    changed: bool = False
    held: int = 0


async def price_card(
    pool: Pool, sources: Sequence[QuoteSource], tenant: str, card_id: str, now: datetime
) -> PricingResult:
    """Ask the providers for a card's price and store the answer.

    No transaction spans a request. Dear cards are asked about more often. A card that no provider
    knows or prices is asked about again in a day.

    Raises:
        NotFound: no station has named such a card.
        PriceUnavailable: no provider quoted it, and not every one could be asked; the last price
            stays.
        OSError, asyncpg.PostgresConnectionError, …: the database is away; nothing was changed.
    """
    async with tenant_transaction(pool, tenant) as connection:
        card = await quotes.find_printing(connection, tenant, card_id)
        dearest = await quotes.dearest_price(connection, tenant, card_id)
    if card is None:
        raise NotFound(f"no station has named a card {card_id!r}")
    fresh_for = min(FRESH_FOR, refresh_after(dearest)) - _EARLY
    problems: list[tuple[str, Exception]] = []
    for source in sources:
        try:
            said = await source.quotes(card, now, fresh_for)
        except (NotFound, ProviderUnavailable, UnusableAnswer, ImplausibleAnswer) as problem:
            problems.append((source.name, problem))
            continue
        if said:
            changed, held = await _keep(pool, tenant, card_id, said, now)
            return PricingResult(source=source.name, changed=changed, held=held)
        problems.append((source.name, Unpriced("answered without any price that can be read")))
    problem_texts = (
        "; ".join(f"{name}: {_problem_text(problem)}" for name, problem in problems)
        or "no provider is set up"
    )
    if failures := [problem for _, problem in problems if not isinstance(problem, NotFound)]:
        async with tenant_transaction(pool, tenant) as connection:
            await quotes.note_missed(connection, tenant, card_id, problem_texts)
        raise PriceUnavailable(
            problem_texts,
            max(
                (
                    error.retry_after_s
                    for error in failures
                    if isinstance(error, ProviderUnavailable)
                ),
                default=0.0,
            ),
            withheld=all(isinstance(error, CallWithheld) for error in failures),
        )
    async with tenant_transaction(pool, tenant) as connection:
        await quotes.schedule_check(
            connection, tenant, card_id, now + refresh_after(None), problem_texts[:500]
        )
    return PricingResult()


async def _keep(
    pool: Pool, tenant: str, card_id: str, said: tuple[Quote, ...], now: datetime
) -> tuple[bool, int]:
    async with tenant_transaction(pool, tenant) as connection:
        known = (await quotes.known_quotes(connection, tenant, [card_id], now))[card_id]
        taken, held = split_believable(said, known)
        lines = describe_prices(merge_current(taken, held, known))
        changed = await quotes.keep_quotes(
            connection, tenant, card_id, taken=taken, held=held, lines=lines, now=now
        )
        after = refresh_after(max((line.minor for line in lines), default=None))
        await quotes.schedule_check(connection, tenant, card_id, now + after, "")
    return changed, len(held)


def _problem_text(problem: Exception) -> str:
    reason = getattr(problem, "reason", "not-found")
    return f"{reason} ({problem})"
