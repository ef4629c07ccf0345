"""Quotes, a source that answers with them, and cards that have prices."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.domain.quotes import Quote
from cardmint_cloud.pricing.price import price_card
from cardmint_contracts.cards import Card
from tests.cloud.kit.cards import NOW


def quote(
    minor: int,
    finish: str = "normal",
    *,
    source: str = "tcgdex/tcgplayer",
    days: int = 0,
    **more: Any,
) -> Quote:
    values: dict[str, Any] = {
        "edition": "",
        "basis": "market",
        "currency": "USD",
        "as_of": NOW - timedelta(days=days),
    }
    return Quote(finish=finish, source=source, minor=minor, **{**values, **more})


QUOTES = st.builds(
    quote,
    st.integers(1, 10_000),
    st.sampled_from(["", "normal", "holo"]),
    source=st.sampled_from(["a", "b"]),
    days=st.integers(0, 20),
    currency=st.sampled_from(["USD", "EUR"]),
    grade=st.sampled_from(["", "", "9"]),
)


class QuoteSourceStub:
    """A quote source with an answer, or an error, for each card."""

    def __init__(
        self,
        name: str = "tcgdex",
        *,
        answers: Mapping[str, Sequence[Quote] | Exception] | None = None,
        **more: Sequence[Quote] | Exception,
    ) -> None:
        self.name = name
        self.answers: Mapping[str, Sequence[Quote] | Exception] = {**(answers or {}), **more}
        self.asked: list[tuple[Card, timedelta]] = []

    async def quotes(
        self, card: Card, now: datetime, fresh_for: timedelta = timedelta(hours=24)
    ) -> tuple[Quote, ...]:
        self.asked.append((card, fresh_for))
        answer = self.answers.get(card.id, [])
        if isinstance(answer, Exception):
            raise answer
        return tuple(answer)


async def add_printings(pool: Pool, *card_ids: str, at: datetime = NOW) -> None:
    """Add cards whose prices are due at `at`."""
    for card_id in card_ids:
        card = (card_id, f"Card {card_id}", "1", "x", "X")
        await TenantDatabase(pool, "shop").execute(
            "INSERT INTO printings VALUES ('shop', $1, $2, $3, $4, $5)", *card
        )
        await TenantDatabase(pool, "shop").execute(
            "INSERT INTO price_checks (tenant, card_id, due_at) VALUES ('shop', $1, $2)",
            card_id,
            at,
        )


async def price_due(pool: Pool, source: Any, now: datetime) -> None:
    """Price every card that is due, as the queue would."""
    for row in await TenantDatabase(pool, "shop").fetch(
        "SELECT tenant, card_id FROM price_checks WHERE due_at <= $1", now
    ):
        await price_card(pool, [source], row["tenant"], row["card_id"], now)


async def current_price(pool: Pool, finish: str = "normal") -> int | None:
    """Return the price that the dashboard shows for card `a`, in minor units."""
    minor: int | None = await TenantDatabase(pool, "shop").fetchval(
        "SELECT minor FROM current_quotes WHERE card_id = 'a' AND finish = $1 AND edition = ''",
        finish,
    )
    return minor
