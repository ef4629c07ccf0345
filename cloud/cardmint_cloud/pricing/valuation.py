"""The value of the inventory, a lot or a printing at any moment, and its course up to then."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries import valuation
from cardmint_cloud.domain.valuation import Valuation, quotes_known_at, value_lines

POINTS = 30
MOST_PRINTINGS = 5000
"""Most printings for which the course is computed; beyond, it would take seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ValuationHistory:
    """The value of the cards held at `at`, in all and by lot.

    `course` has earlier moments with the values then, the oldest first. Cards without a lot are in
    `by_lot` under the empty name.
    """

    at: datetime
    whole: Valuation
    by_lot: dict[str, Valuation]
    course: tuple[tuple[datetime, Valuation], ...]


async def value_inventory(
    connection: AsyncConnection,
    tenant: str,
    at: datetime,
    *,
    lot: str | None = None,
    card_id: str | None = None,
    since: timedelta = timedelta(days=30),
) -> ValuationHistory:
    """Value the cards received by `at` and counted now, by the prices known at `at`."""
    held = await valuation.counted_lines(connection, tenant, at, lot=lot, card_id=card_id)
    cards = sorted({line.card_id for line in held})
    past = await valuation.quote_histories(connection, tenant, cards, at)
    then = {card: quotes_known_at(quotes, at) for card, quotes in past.items()}
    course: list[tuple[datetime, Valuation]] = []
    if held and len(cards) <= MOST_PRINTINGS:
        for n in range(POINTS + 1):
            moment = at - since + since / POINTS * n
            lines = await valuation.counted_lines(
                connection, tenant, moment, lot=lot, card_id=card_id
            )
            course.append(
                (
                    moment,
                    value_lines(
                        lines,
                        {card: quotes_known_at(quotes, moment) for card, quotes in past.items()},
                    ),
                )
            )
    return ValuationHistory(
        at=at,
        whole=value_lines(held, then),
        by_lot={
            name: value_lines([line for line in held if line.lot == name], then)
            for name in {one.lot for one in held}
        },
        course=tuple(course),
    )
