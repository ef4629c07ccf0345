"""What all workers share about a provider: its rate and the day's calls, its answers, and how its breakers stand."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cardmint_cloud.domain.breaker import View
from cardmint_cloud.domain.rates import Rate

# The theoretical arrival time of the generic cell rate algorithm: one row, one statement, fair to every worker. A crash
# may forget the turns of its last moments: they are not worth a wait for the disk.
_TAKE = """
WITH paced AS (
    INSERT INTO provider_rates AS r (provider, tat) VALUES ($1, $2::timestamptz + $3::interval)
    ON CONFLICT (provider) DO UPDATE SET tat = greatest(r.tat, $2) + $3
     WHERE greatest(r.tat, $2) - $2 - $4::interval <= $5::interval
    RETURNING tat),
counted AS (
    INSERT INTO provider_calls AS c (provider, day, calls, budget) SELECT $1, $6::date, 1, $7::int FROM paced
     WHERE $7 > 0
    ON CONFLICT (provider, day) DO UPDATE SET calls = c.calls + 1, budget = excluded.budget WHERE c.calls < $7
    RETURNING calls)
SELECT (SELECT tat FROM paced) AS tat, (SELECT calls FROM counted) AS calls,
       set_config('synchronous_commit', 'off', true) AS quick"""
_TAT = "SELECT tat FROM provider_rates WHERE provider = $1"
_HOLD = """
INSERT INTO provider_rates AS r (provider, tat) VALUES ($1, $2)
ON CONFLICT (provider) DO UPDATE SET tat = greatest(r.tat, excluded.tat)"""
_FIND = """
SELECT status, body, etag, last_modified, checked_at FROM provider_answers WHERE provider = $1 AND key = $2"""
_KEEP = """
INSERT INTO provider_answers (provider, key, status, body, etag, last_modified, checked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (provider, key) DO UPDATE
   SET status = excluded.status, body = excluded.body, etag = excluded.etag,
       last_modified = excluded.last_modified, checked_at = excluded.checked_at"""
_CONFIRM = "UPDATE provider_answers SET checked_at = $3 WHERE provider = $1 AND key = $2"
_FORGET = "DELETE FROM provider_answers WHERE checked_at < $1"
_PUT_STATE = """
INSERT INTO provider_states (provider, worker, state, since, calls, failed, slow, answered, cached, last_error,
                             updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (provider, worker) DO UPDATE
   SET state = excluded.state, since = excluded.since, calls = excluded.calls, failed = excluded.failed,
       slow = excluded.slow, answered = excluded.answered, cached = excluded.cached,
       last_error = excluded.last_error, updated_at = excluded.updated_at"""
_FORGET_STATES = "DELETE FROM provider_states WHERE updated_at < $1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """An answer as it was kept: 200 with JSON, or 404 without. `checked_at` is when the provider last said so."""

    status: int
    body: bytes
    etag: str
    last_modified: str
    checked_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Whether a call may be made: after `wait_s`, or not at all before `until`, and why not."""

    wait_s: float = 0.0
    refused: str = ""
    until: datetime | None = None


async def take(pool: Any, provider: str, rate: Rate, now: datetime, *, patience_s: float) -> Turn:
    """Take a turn at a provider, at most `patience_s` ahead, and count the call towards the UTC day's budget."""
    step = timedelta(seconds=1 / rate.per_s)
    slack = step * (rate.burst - 1)
    patience = timedelta(seconds=patience_s)
    day = now.astimezone(UTC).date()
    row = await pool.fetchrow(_TAKE, provider, now, step, slack, patience, day, rate.per_day)
    if row["tat"] is None:
        tat = await pool.fetchval(_TAT, provider)
        return Turn(refused="paced", until=max(now, tat - slack))
    if row["calls"] is None:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        return Turn(refused="budget", until=midnight)
    return Turn(wait_s=max(0.0, (row["tat"] - step - slack - now).total_seconds()))


async def hold(pool: Any, provider: str, rate: Rate, until: datetime) -> None:
    """Let nobody call a provider before `until`: it asked for that."""
    await pool.execute(_HOLD, provider, until + timedelta(seconds=1 / rate.per_s) * (rate.burst - 1))


async def find(pool: Any, provider: str, key: str) -> Kept | None:
    """Return what is kept of an answer; None when nothing is."""
    row = await pool.fetchrow(_FIND, provider, key)
    return Kept(**dict(row)) if row else None


async def keep(pool: Any, provider: str, key: str, kept: Kept) -> None:
    """Keep an answer for all workers."""
    values = (kept.status, kept.body, kept.etag, kept.last_modified, kept.checked_at)
    await pool.execute(_KEEP, provider, key, *values)


async def confirm(pool: Any, provider: str, key: str, now: datetime) -> None:
    """Note that the provider says that an answer is still the same."""
    await pool.execute(_CONFIRM, provider, key, now)


async def forget(pool: Any, before: datetime) -> None:
    """Forget answers that were not confirmed since `before`, and what ended workers said."""
    await pool.execute(_FORGET, before)
    await pool.execute(_FORGET_STATES, before)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How one worker's dealings with one provider stand: `answered` from the net, `cached` without."""

    provider: str
    worker: UUID
    view: View
    since: datetime
    answered: int
    cached: int
    last_error: str


async def put_standing(pool: Any, standing: Standing, now: datetime) -> None:
    """Show how a worker's breaker stands to whoever looks."""
    view = standing.view
    await pool.execute(
        _PUT_STATE,
        *(standing.provider, standing.worker, view.state.value, standing.since, view.calls, view.failed, view.slow),
        *(standing.answered, standing.cached, standing.last_error[:300], now),
    )
