"""The cards that are due are asked about; what cannot be had leaves the last known price as it is."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from cardmint_cloud.adapters.postgres import prices
from cardmint_cloud.adapters.postgres.prices import Check
from cardmint_cloud.adapters.tcgdex import Unanswered, Unusable
from cardmint_cloud.domain.quotes import Quote, Refused, described
from cardmint_cloud.errors import NotFound

EVERY = timedelta(hours=24)
FIRST_RETRY = timedelta(hours=1)
LEASE = timedelta(seconds=30)
"""Longer than a step takes: two rounds of at most 5 s each."""


class Provider(Protocol):
    """Where prices come from."""

    async def quotes(self, card_id: str, now: datetime) -> Sequence[Quote]:
        """Return the card's quotes; raises NotFound, Unanswered, Unusable or Refused when there are none to be had."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Priced:
    """What a step did: cards asked about, cards whose price is another now, cards that brought no answer."""

    asked: int
    changed: int
    failed: int


async def price_due(pool: Any, provider: Provider, now: datetime, limit: int = 16, *, at_once: int = 8) -> Priced:
    """Ask about at most `limit` due cards, `at_once` at a time, and keep the answers. No transaction spans a request.

    A success, and a card that the provider does not know, is asked about again in 24 h; a failure in 1 h, doubled each
    time up to 24 h. Checks that a killed process had taken come due again after half a minute.

    Raises:
        OSError, asyncpg.PostgresConnectionError, …: the database is away; the checks stay due.
    """
    async with pool.acquire() as connection:
        checks = await prices.claim(connection, now, limit=limit, lease=LEASE)
    slots = asyncio.Semaphore(at_once)

    async def one(check: Check) -> tuple[bool, bool]:
        async with slots:
            return await _check(pool, provider, check, now)

    done = await asyncio.gather(*(one(check) for check in checks))
    return Priced(
        asked=len(done), changed=sum(changed for changed, _ in done), failed=sum(failed for _, failed in done)
    )


async def _check(pool: Any, provider: Provider, check: Check, now: datetime) -> tuple[bool, bool]:
    said: Sequence[Quote] = ()
    error = ""
    failed = False
    try:
        said = await provider.quotes(check.card_id, now)
        error = "" if said else "no-price: the provider lists no price"
    except NotFound as missing:
        error = f"not-found: {missing}"
    except (Unanswered, Unusable, Refused) as problem:
        error = f"{problem.reason}: {problem}"[:500]
        failed = True
    attempts = check.attempts + 1 if failed else 0
    wait = min(EVERY, FIRST_RETRY * 2 ** min(check.attempts, 10)) if failed else EVERY
    async with pool.acquire() as connection, connection.transaction():
        changed = bool(said) and await prices.keep(connection, check, said, described(said), now)
        await prices.schedule(connection, check, now + wait, attempts=attempts, error=error.replace("\x00", "�"))
    return changed, failed
