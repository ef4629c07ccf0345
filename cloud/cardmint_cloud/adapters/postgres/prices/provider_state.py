"""The state of a provider that all workers share: permits, answers, and its gate."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import Executor, Pool, fetch_one
from cardmint_cloud.domain.breaker import BreakerView
from cardmint_cloud.domain.call_budget import RateLimit

# The theoretical arrival time of the generic cell rate algorithm: one row, one statement, fair to
# every worker. It grants as many permits as may be used now, or one that must be waited for. After
# a crash the last moments' permits may be forgotten: they are not worth a wait for the disk. No
# pause is longer than a day: a later time is from a clock that was wrong, and is ignored.
_TAKE = """
WITH locked AS (SELECT CASE WHEN tat > $2::timestamptz + interval '25 hours' THEN $2
            ELSE greatest(tat, $2) END AS tat FROM provider_rates WHERE provider = $1 FOR UPDATE),
granted AS (
    SELECT tat, least($6::int, 1 + greatest(0, floor(
           extract(epoch FROM $2 + $4::interval - tat) / extract(epoch FROM $3::interval))))::int
                  AS permits
      FROM locked WHERE tat - $2 - $4 <= $5::interval),
counted AS (
    INSERT INTO provider_calls AS c (provider, day, calls, budget)
    SELECT $1, $7::date, permits, $8::int FROM granted WHERE permits <= $8
    ON CONFLICT (provider, day) DO UPDATE SET calls = greatest(0,
           c.calls - $9::int) + excluded.calls, budget = excluded.budget
     WHERE greatest(0, c.calls - $9) + excluded.calls <= $8
    RETURNING calls),
paced AS (UPDATE provider_rates r SET tat = granted.tat + granted.permits * $3 FROM granted,
       counted WHERE provider = $1)
SELECT locked.tat, granted.permits, counted.calls, set_config('synchronous_commit', 'off', true)
       AS quick
  FROM locked LEFT JOIN granted ON true LEFT JOIN counted ON true"""
_BEGIN = "INSERT INTO provider_rates (provider, tat) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_HOLD = """
INSERT INTO provider_rates AS r (provider, tat) VALUES ($1, $2)
ON CONFLICT (provider) DO UPDATE SET tat = greatest(r.tat, excluded.tat)"""
_FIND = """
SELECT a.status, a.body, a.etag, a.last_modified, a.checked_at,
       (SELECT until FROM provider_gates WHERE provider = $1) AS shut_until
  FROM (VALUES (1)) one LEFT JOIN provider_answers a ON a.provider = $1 AND a.key = $2"""
_KEEP = """
INSERT INTO provider_answers (provider, key, status, body, etag, last_modified, checked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (provider, key) DO UPDATE
   SET status = excluded.status, body = excluded.body, etag = excluded.etag,
          last_modified = excluded.last_modified, checked_at = excluded.checked_at"""
_CONFIRM = "UPDATE provider_answers SET checked_at = $3 WHERE provider = $1 AND key = $2"
# A row stands for a provider that was found dead; `until` is when one call, of whichever worker,
# may try it.
_SHUT = """
INSERT INTO provider_gates AS g (provider, until) VALUES ($1, $2)
ON CONFLICT (provider) DO UPDATE SET until = greatest(g.until, excluded.until)"""
_TRY = """
UPDATE provider_gates SET until = $3
 WHERE provider = $1 AND (until <= $2 OR until > $2::timestamptz + interval '1 day')
RETURNING until"""
_SHUT_UNTIL = "SELECT until FROM provider_gates WHERE provider = $1"
_NOT_TRIED = "UPDATE provider_gates SET until = $3 WHERE provider = $1 AND until = $2"
_OPEN = "DELETE FROM provider_gates WHERE provider = $1"
_LET_IN = "UPDATE provider_rates SET tat = least(tat, $2) WHERE provider = $1 RETURNING provider"
_FORGET = "DELETE FROM provider_answers WHERE checked_at < $1"
_PUT_STATE = """
INSERT INTO provider_states (provider, worker, state, since, calls, failed, slow, answered, cached,
       last_error, updated_at, judged, unpriced)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (provider, worker) DO UPDATE
   SET state = excluded.state, since = excluded.since, calls = excluded.calls,
          failed = excluded.failed, slow = excluded.slow, answered = excluded.answered,
          cached = excluded.cached, last_error = excluded.last_error,
          updated_at = excluded.updated_at, judged = excluded.judged,
          unpriced = excluded.unpriced"""
_FORGET_STATES = "DELETE FROM provider_states WHERE updated_at < $1"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredAnswer:
    """A stored answer: 200 with JSON, or 404 without.

    `checked_at` is when the provider last confirmed it.
    """

    status: int
    body: bytes
    etag: str
    last_modified: str
    checked_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedAnswer:
    """A stored answer, if any, and until when no worker may call, if the provider is dead."""

    kept: StoredAnswer | None
    shut_until: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PermitGrant:
    """Permits: `count` of them at once, or one after `wait_s`, or none before `until`.

    `refused` says why there are none.
    """

    count: int = 0
    wait_s: float = 0.0
    refused: str = ""
    until: datetime | None = None


async def take_permits(
    pool: Pool,
    provider: str,
    rate: RateLimit,
    now: datetime,
    *,
    patience_s: float,
    most: int = 1,
    unused: int = 0,
) -> PermitGrant:
    """Take permits for calls, and count them in the UTC day's budget.

    Up to `most` permits are valid within `rate.lease` from now, or one that is at most `patience_s`
    ahead. `unused` permits of this day had no call; they return to the budget, not to the rate.
    """
    day = now.astimezone(UTC).date()
    patience = timedelta(seconds=patience_s)
    values = (now, rate.step, rate.slack, patience, most, day, rate.per_day, unused)
    row = await pool.fetchrow(_TAKE, provider, *values)
    if row is None:
        await pool.execute(_BEGIN, provider, now)
        row = await fetch_one(pool, _TAKE, provider, *values)
    if row["permits"] is None:
        return PermitGrant(refused="paced", until=max(now, row["tat"] - rate.slack))
    if row["calls"] is None:
        if most > 1:
            return await take_permits(
                pool, provider, rate, now, patience_s=patience_s, unused=unused
            )
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        return PermitGrant(refused="budget", until=midnight)
    return PermitGrant(
        count=row["permits"], wait_s=max(0.0, (row["tat"] - rate.slack - now).total_seconds())
    )


async def pause_provider(pool: Pool, provider: str, rate: RateLimit, until: datetime) -> None:
    """Let no worker call a provider before `until`, as it asked for."""
    await pool.execute(_HOLD, provider, until + rate.slack)


async def find_answer(pool: Pool, provider: str, key: str) -> SharedAnswer:
    """Return the stored answer, and whether the provider was found dead."""
    row = dict(await fetch_one(pool, _FIND, provider, key))
    shut_until = row.pop("shut_until")
    return SharedAnswer(
        kept=StoredAnswer(**row) if row["status"] is not None else None, shut_until=shut_until
    )


async def close_gate(pool: Pool, provider: str, until: datetime) -> None:
    """Let no worker call a provider before `until`, and then only one."""
    await pool.execute(_SHUT, provider, until)


async def claim_probe(pool: Pool, provider: str, now: datetime, until: datetime) -> datetime | None:
    """Claim the right to probe a dead provider; no other worker has it before `until`.

    Returns:
        None: this worker may probe, or the gate has opened meanwhile. Otherwise the time until
            which another worker's claim holds.
    """
    if await pool.fetchval(_TRY, provider, now, until) is not None:
        return None
    shut_until: datetime | None = await pool.fetchval(_SHUT_UNTIL, provider)
    return shut_until


async def release_probe(pool: Pool, provider: str, until: datetime, now: datetime) -> None:
    """Give back the right that `claim_probe` gave until `until`."""
    await pool.execute(_NOT_TRIED, provider, until, now)


async def open_gate(pool: Pool, provider: str) -> None:
    """Let all workers call a provider again: it answered."""
    await pool.execute(_OPEN, provider)


async def let_in(executor: Executor, provider: str, now: datetime) -> bool:
    """End a provider's pause and open its gate; False when no worker has called it yet."""
    await executor.execute(_OPEN, provider)
    return bool(await executor.fetch(_LET_IN, provider, now))


async def keep_answer(pool: Pool, provider: str, key: str, kept: StoredAnswer) -> None:
    """Store an answer for all workers."""
    values = (kept.status, kept.body, kept.etag, kept.last_modified, kept.checked_at)
    await pool.execute(_KEEP, provider, key, *values)


async def confirm_answer(pool: Pool, provider: str, key: str, now: datetime) -> None:
    """Record that the provider confirmed an answer."""
    await pool.execute(_CONFIRM, provider, key, now)


async def forget_before(pool: Pool, before: datetime) -> None:
    """Delete answers and breaker reports that are older than `before`."""
    await pool.execute(_FORGET, before)
    await pool.execute(_FORGET_STATES, before)


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerReport:
    """One worker's dealings with one provider.

    `answered` counts answers from the network, `cached` those from the cache. Of the last `judged`
    cards that the provider knows, `unpriced` came without any price that can be read.
    """

    provider: str
    worker: UUID
    view: BreakerView
    since: datetime
    answered: int
    cached: int
    last_error: str
    judged: int = 0
    unpriced: int = 0


async def put_breaker_report(pool: Pool, standing: BreakerReport, now: datetime) -> None:
    """Store a worker's breaker report for the dashboard."""
    view = standing.view
    await pool.execute(
        _PUT_STATE,
        *(
            standing.provider,
            standing.worker,
            view.state.value,
            standing.since,
            view.calls,
            view.failed,
            view.slow,
        ),
        *(standing.answered, standing.cached, standing.last_error[:300], now),
        *(standing.judged, standing.unpriced),
    )
