"""Questions in Postgres: leases, cards without a question, overdue questions, audits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

from cardmint_cloud.adapters.postgres.columns import printing_of
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.domain.review_rules import AuditPrecision, measure_precision
from cardmint_contracts.cards import Card
from cardmint_contracts.events import CardScanned
from cardmint_contracts.upcasters import decode_data

_CLAIM = """
INSERT INTO review_leases AS l (tenant, task, holder, token, until) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, task) DO UPDATE SET holder = excluded.holder, token = excluded.token,
       until = excluded.until
 WHERE l.until <= $6 OR l.holder = excluded.holder
RETURNING token"""
_LEASE = "SELECT holder, token, until FROM review_leases WHERE tenant = $1 AND task = $2 FOR UPDATE"
_RELEASE = "DELETE FROM review_leases WHERE tenant = $1 AND task = $2"
_SLOT = """
SELECT i.bin, i.lot, i.station, (
       SELECT count(*) FROM items o WHERE o.tenant = i.tenant AND o.station = i.station
              AND o.bin = i.bin
          AND o.lot = i.lot AND (o.captured_at, o.item) <= (i.captured_at, i.item)) AS slot
  FROM items i WHERE i.tenant = $1 AND i.item = $2"""
_MARK = "SELECT mark FROM rule_marks WHERE tenant = $1"
_SET_MARK = """
INSERT INTO rule_marks (tenant, mark) VALUES ($1, $2) ON CONFLICT (tenant) DO UPDATE
       SET mark = excluded.mark"""
_FRESH = """
SELECT i.item, i.card_id, p.name, p.number, p.set_id, p.set_name, i.confidence, i.margin, i.finish,
       i.edition, i.received_at, e.type, e.data
  FROM items i JOIN printings p ON p.tenant = i.tenant AND p.card_id = i.card_id
  JOIN LATERAL (SELECT type, data FROM events e WHERE e.tenant = i.tenant AND e.subject = i.item
                   AND e.type LIKE 'cardmint.card.scanned.v%' ORDER BY e.position LIMIT 1) e ON true
 WHERE i.tenant = $1 AND i.status = 'counted' AND i.stock = 'in-stock'
        AND (i.received_at, i.item) > ($2, $6)
        AND i.received_at <= $3
   AND ($4::text IS NULL OR i.card_id = $4)
   AND NOT EXISTS (SELECT FROM reviews r WHERE r.tenant = i.tenant AND r.item = i.item)
 ORDER BY i.received_at, i.item LIMIT $5"""
_OLD = """
SELECT task, item, version, question = 'audit' AS audit FROM reviews
 WHERE tenant = $1 AND state = 'open'
   AND CASE WHEN question = 'audit' THEN opened_at <= $3 ELSE opened_at <= $2 AND NOT escalated END
 ORDER BY opened_at LIMIT $4"""
_AUDITS = """
SELECT recogniser, count(*) AS audited, count(*) FILTER (WHERE card ->> 'id' = counted ->> 'id')
       AS correct
  FROM reviews
 WHERE tenant = $1 AND counted IS NOT NULL AND question = 'audit' AND verdict IN ('card', 'no_card')
 GROUP BY recogniser ORDER BY recogniser"""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionLease:
    """The holder of a question's lease, and until when."""

    holder: str
    token: UUID
    until: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class UnreviewedCard:
    """A counted card without any review, with its scan."""

    item: UUID
    card: Card
    confidence: float
    margin: float
    finish: str
    edition: str
    received_at: datetime
    scan: CardScanned


async def claim_lease(
    connection: PostgresConnection,
    tenant: str,
    task: UUID,
    *,
    holder: str,
    now: datetime,
    length: timedelta,
) -> UUID | None:
    """Lease a question or renew the lease; None when another person has it."""
    rows = await connection.fetch(_CLAIM, tenant, task, holder, uuid4(), now + length, now)
    return rows[0]["token"] if rows else None


async def find_lease(
    connection: PostgresConnection, tenant: str, task: UUID
) -> QuestionLease | None:
    """Return a question's last lease; None when it never had one."""
    rows = await connection.fetch(_LEASE, tenant, task)
    return QuestionLease(**dict(rows[0])) if rows else None


async def release_lease(connection: PostgresConnection, tenant: str, task: UUID) -> None:
    """Delete a question's lease."""
    await connection.execute(_RELEASE, tenant, task)


async def card_place(connection: PostgresConnection, tenant: str, item: UUID) -> str:
    """Return where a card lies, such as "bin A3, slot 12"; without a bin, the station's stack."""
    rows = await connection.fetch(_SLOT, tenant, item)
    if not rows:
        return ""
    row = rows[0]
    where = [
        f"bin {row['bin']}" if row["bin"] else f"stack of {row['station']}",
        f"lot {row['lot']}",
    ]
    return ", ".join([where[0], *([where[1]] if row["lot"] else []), f"slot {row['slot']}"])[:200]


async def rules_mark(connection: PostgresConnection, tenant: str) -> datetime | None:
    """Return up to which time of receipt the rules have been applied; None for never."""
    rows = await connection.fetch(_MARK, tenant)
    return rows[0]["mark"] if rows else None


async def set_rules_mark(connection: PostgresConnection, tenant: str, moment: datetime) -> None:
    """Set up to which time of receipt the rules have been applied."""
    await connection.execute(_SET_MARK, tenant, moment)


async def unreviewed_cards(
    connection: PostgresConnection,
    tenant: str,
    after: tuple[datetime, UUID],
    until: datetime,
    *,
    card_id: str | None = None,
    limit: int,
) -> list[UnreviewedCard]:
    """Return counted cards without any review, received after the cursor and by `until`."""
    rows = await connection.fetch(_FRESH, tenant, after[0], until, card_id, limit, after[1])
    return [
        UnreviewedCard(
            item=row["item"],
            card=printing_of(row),
            scan=cast("CardScanned", decode_data(row["type"], row["data"].encode())),
            **{
                name: row[name]
                for name in ("confidence", "margin", "finish", "edition", "received_at")
            },
        )
        for row in rows
    ]


async def overdue_reviews(
    connection: PostgresConnection,
    tenant: str,
    *,
    before: datetime,
    audits_before: datetime,
    limit: int,
) -> Sequence[Any]:
    """Return open reviews that wait too long: `task`, `item`, `version`, and whether an `audit`."""
    return await connection.fetch(_OLD, tenant, before, audits_before, limit)


async def audit_precisions(connection: PostgresConnection, tenant: str) -> list[AuditPrecision]:
    """Return the measured precision of each recogniser."""
    rows = await connection.fetch(_AUDITS, tenant)
    return [measure_precision(row["recogniser"], row["correct"], row["audited"]) for row in rows]
