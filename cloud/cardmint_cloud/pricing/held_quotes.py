"""A person's verdict on held quotes: take, refuse, or undo. Each verdict is an event."""

from datetime import datetime
from typing import Literal

from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.adapters.postgres.ingest.event_log import notify
from cardmint_cloud.adapters.postgres.prices import held_quotes, quotes
from cardmint_cloud.domain.quotes import describe_prices, merge_current
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.reviews.answers import append_user_events, lock_user_stream
from cardmint_contracts.cards import Money
from cardmint_contracts.events import PriceJudged
from cardmint_contracts.notifications import Subject

QuoteVerdict = Literal["take", "refuse", "undo"]


async def judge_quote(
    pool: Pool, tenant: str, number: int, verdict: QuoteVerdict, *, user: str, now: datetime
) -> None:
    """Take a held quote, refuse it, or undo that verdict so that it is open again.

    Raises:
        NotFound: the tenant has no such quote.
        Conflict: somebody judged it before, or there is nothing to undo.
    """
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, user, now)
        found = await held_quotes.load_held(connection, tenant, number)
        if found is None:
            raise NotFound(
                f"there is no held-back price {number}; the provider may have said another since"
            )
        if (found.state == "open") == (verdict == "undo"):
            who = (
                f"{found.judged_by} has {found.state} this price"
                if found.judged_by
                else "this price is asked about"
            )
            raise Conflict(f"{who} already")
        quote = found.quote
        event = PriceJudged(
            card_id=found.card_id,
            verdict=verdict,
            by=user,
            source=quote.source,
            price=Money(minor=quote.minor, currency=quote.currency),
            finish=quote.finish,
            edition=quote.edition,
            grade=quote.grade,
        )
        await append_user_events(connection, tenant, user, [event], now=now, sequence=sequence)
        state = {"take": "taken", "refuse": "refused", "undo": "open"}[verdict]
        by = user if verdict != "undo" else ""
        if verdict != "undo":
            await held_quotes.settle_held(connection, tenant, number, state=state, by=by, now=now)
        if "taken" in {state, found.state}:
            # Undo appends the earlier price as the newest; rows of the history are never removed.
            newest = (
                quote
                if verdict == "take"
                else await held_quotes.quote_before(connection, tenant, found)
            )
            card_id = found.card_id
            known = (await quotes.known_quotes(connection, tenant, [card_id], now))[card_id]
            others = sorted(
                (one for one in known if one.kind != quote.kind), key=lambda one: one.as_of
            )
            taken = [] if newest is None else [newest]
            now_worth = merge_current([*others, *taken], (), ())
            lines = describe_prices(one for one in now_worth if one.currency == quote.currency)
            await quotes.keep_quotes(
                connection, tenant, card_id, taken=taken, held=(), lines=lines, now=now
            )
        if verdict == "undo":  # Last: storing a price settles the open held quotes of its kind.
            await held_quotes.settle_held(connection, tenant, number, state=state, by=by, now=now)
        await notify(connection, tenant, Subject.REVIEWS)
