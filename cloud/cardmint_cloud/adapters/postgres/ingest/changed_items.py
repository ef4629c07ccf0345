"""What a change of items needs to know beside the items: printings, and earlier changes."""

from collections.abc import Collection, Sequence
from uuid import UUID

from cardmint_cloud.adapters.postgres.columns import printing_of
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.domain.item_changes import additions_undone
from cardmint_cloud.domain.item_rows import MARKETS, PrintedCard
from cardmint_contracts.cards import Card
from cardmint_contracts.changes import ItemsGroup
from cardmint_contracts.events import ItemsAdded, ItemsChanged
from cardmint_contracts.upcasters import decode_data

_PRINTINGS = "SELECT * FROM printings WHERE tenant = $1 AND card_id = ANY($2::text[])"
_CHANGE = """
SELECT position, type, data FROM events WHERE tenant = $1 AND subject = $2 AND position > $3
   AND (type LIKE 'cardmint.items.changed.v%' OR type LIKE 'cardmint.items.added.v%')
 ORDER BY position LIMIT $4"""
_UNDONE = """
SELECT DISTINCT ON (subject) subject, data::jsonb ->> 'undoes' AS undoes FROM events
 WHERE tenant = $1 AND subject = ANY($2::uuid[]) AND type LIKE 'cardmint.items.changed.v%'
 ORDER BY subject, position"""
_PRINTED = """
SELECT p.card_id, p.name, p.number, p.set_id, p.set_name, p.words FROM printings p
 WHERE p.tenant = $1 AND p.card_id = ANY($2::text[])
UNION ALL
SELECT c.card_id, c.name, c.number, c.set_id, s.name, c.words
  FROM catalogue_printings c JOIN catalogue_sets s USING (set_id)
 WHERE c.card_id = ANY($2::text[])"""
_OF_SETS = """
SELECT p.card_id, p.name, p.number, p.set_id, p.set_name, p.words,
       ARRAY[lower(p.set_id), lower(p.set_name)] AS names
  FROM printings p
 WHERE p.tenant = $1 AND (lower(p.set_id) = ANY($2::text[]) OR lower(p.set_name) = ANY($2::text[]))
UNION ALL
SELECT c.card_id, c.name, c.number, c.set_id, s.name, c.words,
       ARRAY[lower(s.set_id), lower(s.name), lower(s.code)]
  FROM catalogue_sets s JOIN catalogue_printings c USING (set_id)
 WHERE lower(s.set_id) = ANY($2::text[]) OR lower(s.name) = ANY($2::text[])
    OR lower(s.code) = ANY($2::text[])"""
_OF_PRODUCTS = """
SELECT n.product, c.card_id, c.name, c.number, c.set_id, s.name AS set_name, c.words
  FROM unnest($1::bigint[]) AS n (product)
       JOIN catalogue_printings c
         ON jsonb_path_query_array(c.facts, '$.**.{market}') @> jsonb_build_array(n.product)
       JOIN catalogue_sets s USING (set_id)"""
"""Each market has an index of this expression: `catalogue_printings_{market}`."""

EVENTS = 16
"""Events of a change that are read at a time: 1,000 items each at most."""


async def printings_of(
    connection: PostgresConnection, tenant: str, card_ids: Collection[str]
) -> dict[str, Card]:
    """Return printings as stations have named them, by identifier."""
    found = await connection.fetch(_PRINTINGS, tenant, list(card_ids))
    return {row["card_id"]: printing_of(row) for row in found}


async def groups_of_change(
    connection: PostgresConnection, tenant: str, change: UUID, after: int = 0
) -> tuple[list[ItemsGroup], int]:
    """Return groups of a change or addition, in order, from events after a position of the log.

    The number is the last position; 0 where there is no event more.
    """
    groups: list[ItemsGroup] = []
    found = await connection.fetch(_CHANGE, tenant, change, after, EVENTS)
    for row in found:
        data = decode_data(row["type"], row["data"].encode())
        if isinstance(data, ItemsChanged):
            groups += data.groups
        elif isinstance(data, ItemsAdded):
            groups += additions_undone(data.groups)
    return groups, found[-1]["position"] if found else 0


async def undone_by(
    connection: PostgresConnection, tenant: str, changes: Collection[UUID]
) -> dict[UUID, UUID]:
    """Return which change each of some changes took back, for those that did."""
    found = await connection.fetch(_UNDONE, tenant, list(changes)) if changes else []
    return {row["subject"]: UUID(row["undoes"]) for row in found if row["undoes"]}


async def known_printings(
    connection: PostgresConnection, tenant: str, card_ids: Collection[str]
) -> dict[str, PrintedCard]:
    """Return printings that stations or the catalogue know, by identifier."""
    found = await connection.fetch(_PRINTED, tenant, list(card_ids)) if card_ids else []
    known: dict[str, PrintedCard] = {}
    for row in found:
        printed = PrintedCard(card=printing_of(row), words=row["words"])
        before = known.get(printed.card.id)
        known[printed.card.id] = before.with_words(printed.words) if before else printed
    return known


async def printings_of_sets(
    connection: PostgresConnection, tenant: str, sets: Collection[str]
) -> list[tuple[Sequence[str], PrintedCard]]:
    """Return the printings of sets, which are named by id, code or name in lower case.

    Each comes with its set's names.
    """
    found = await connection.fetch(_OF_SETS, tenant, list(sets)) if sets else []
    return [(row["names"], PrintedCard(card=printing_of(row), words=row["words"])) for row in found]


async def printings_of_products(
    connection: PostgresConnection, products: Collection[str]
) -> dict[str, list[PrintedCard]]:
    """Return the printings to which the catalogue gives a market's number (`tcgplayer:42382`)."""
    found: dict[str, list[PrintedCard]] = {}
    for market in MARKETS:
        numbers = [int(one.partition(":")[2]) for one in products if one.startswith(f"{market}:")]
        statement = _OF_PRODUCTS.format(market=market)
        for row in await connection.fetch(statement, numbers) if numbers else []:
            printed = PrintedCard(card=printing_of(row), words=row["words"])
            found.setdefault(f"{market}:{row['product']}", []).append(printed)
    return found
