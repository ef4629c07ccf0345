"""A log and an inventory of any size, created inside Postgres, for `cloud log`.

The rows have the shape of ingest's. Cards follow a long tail: of 20,000 printings, one hundredth
makes a third of the scans.
"""

from datetime import datetime
from uuid import UUID

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_contracts.cards import Candidate, Card, Decision
from cardmint_contracts.events import NAMES, CardScanned, RecogniserIdentity
from cardmint_contracts.wire import encode

PRINTINGS = 20_000
SETS = 200
_STEP = 250_000
_NOBODY = UUID(int=0)
_SCAN = CardScanned(
    scan=_NOBODY,
    decision=Decision.REVIEW,
    recogniser=RecogniserIdentity(method="classical", pack="grown"),
    candidates=tuple(
        Candidate(card=Card(id=f"set{n}-{n}", name=f"Grown {n}", set_id=f"set{n}"), confidence=0.9)
        for n in range(8)
    ),
)
_DATA = encode(_SCAN).decode().split(str(_NOBODY))
"""An event's data before and after the scan's identifier: about 1 kB."""

_NAMES = f"""
INSERT INTO printings (tenant, card_id, name, number, set_id, set_name, words)
SELECT *, lower(name || ' ' || ltrim(number, '0') || ' ' || set_name || ' ' || set_id || ' ' || id)
  FROM (SELECT $1::text, 'set' || i % {SETS} || '-' || i, 'Grown ' || (ARRAY['Fox', 'Owl', 'Moth',
       'Newt'])[1 + i % 4] || ' ' || i, lpad((i / {SETS} + 1)::text, 3, '0') || '/100',
       'set' || i % {SETS}, 'Grown Set ' || i % {SETS}
  FROM generate_series(0, {PRINTINGS} - 1) AS i)
       AS p (tenant, id, name, number, set_id, set_name)"""
_PRICES = """
INSERT INTO current_quotes (tenant, card_id, finish, edition, source, basis, minor, currency,
       as_of, fetched_at, lowest)
SELECT tenant, card_id, finish, '', 'grown', 'market',
       1 + abs(hashtext(card_id || finish)) % 50000, 'USD', $2, $2, false
  FROM printings, unnest(ARRAY['normal', 'holo']) AS finish WHERE tenant = $1"""
_TABLE = """
CREATE TEMP TABLE scans (i bigint, item uuid, station integer, card integer, finish text,
       condition text,
                         at timestamptz) ON COMMIT DROP"""
_SCANS = f"""
INSERT INTO scans
SELECT i, gen_random_uuid(), (i % 10)::int, floor({PRINTINGS} * power(random(), 4))::int,
       (ARRAY['normal', 'holo'])[1 + (random() < 0.3)::int], (ARRAY['near_mint', 'lightly_played',
       'damaged'])[1 + floor(3 * power(random(), 3))::int],
       $1::timestamptz + i * interval '1 millisecond'
  FROM generate_series($2::bigint, $3::bigint) AS i"""
_EVENTS = """
INSERT INTO events (tenant, stream, sequence, received_at, source, type, subject, occurred_at,
       bootid, monotonic_ms, clock_synced, data)
SELECT $1, md5($1 || station)::uuid, i, at, '/stations/grown-' || station, $2, item, at,
       md5($1 || station)::uuid, i, true, $3 || item || $4
  FROM scans ORDER BY i"""
_ITEMS = f"""
INSERT INTO items (tenant, item, station, captured_at, received_at, status, card_id, language,
       finish, condition, bin, confidence, margin, image, version)
SELECT $1, item, 'grown-' || station, at, at, 'counted', 'set' || card % {SETS} || '-' || card,
       'en', finish, condition, 'B' || i % 40, 0.97, 0.4, md5(item::text) || md5(item::text), 1
  FROM scans ORDER BY i"""
_HOLDINGS = f"""
INSERT INTO holdings AS h (tenant, card_id, language, finish, condition, count)
SELECT $1, 'set' || card % {SETS} || '-' || card, 'en', finish, condition, count(*)
       FROM scans GROUP BY 2, 4, 5
ON CONFLICT (tenant, card_id, language, finish, edition, condition) DO UPDATE
       SET count = h.count + excluded.count
"""


async def make_printings(connection: PostgresConnection, tenant: str, now: datetime) -> None:
    """Create the printings and their prices."""
    await connection.execute(_NAMES, tenant)
    await connection.execute(_PRICES, tenant, now)


async def grow_log(
    connection: PostgresConnection, tenant: str, start: datetime, have: int, want: int
) -> None:
    """Add scans, a millisecond apart from `start`, until there are `want`; run ANALYZE."""
    for first in range(have + 1, want + 1, _STEP):
        async with connection.transaction():
            await connection.execute(_TABLE)
            await connection.execute(_SCANS, start, first, min(want, first + _STEP - 1))
            await connection.execute(_EVENTS, tenant, NAMES[CardScanned], *_DATA)
            for statement in (_ITEMS, _HOLDINGS):
                await connection.execute(statement, tenant)
    await connection.execute("VACUUM ANALYZE")
