"""What a change of items needs to know beside the items: printings, and earlier changes."""

from collections.abc import Collection
from uuid import UUID

from cardmint_cloud.adapters.postgres.columns import printing_of
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_contracts.cards import Card
from cardmint_contracts.changes import ItemsGroup
from cardmint_contracts.events import ItemsChanged
from cardmint_contracts.upcasters import decode_data

_PRINTINGS = "SELECT * FROM printings WHERE tenant = $1 AND card_id = ANY($2::text[])"
_CHANGE = """
SELECT type, data FROM events WHERE tenant = $1 AND subject = $2
   AND type LIKE 'cardmint.items.changed.v%' ORDER BY position"""


async def printings_of(
    connection: PostgresConnection, tenant: str, card_ids: Collection[str]
) -> dict[str, Card]:
    """Return printings as stations have named them, by identifier."""
    found = await connection.fetch(_PRINTINGS, tenant, list(card_ids))
    return {row["card_id"]: printing_of(row) for row in found}


async def groups_of_change(
    connection: PostgresConnection, tenant: str, change: UUID
) -> list[ItemsGroup]:
    """Return the groups of a change, in order; none where the log does not have it."""
    groups: list[ItemsGroup] = []
    for row in await connection.fetch(_CHANGE, tenant, change):
        data = decode_data(row["type"], row["data"].encode())
        if isinstance(data, ItemsChanged):
            groups += data.groups
    return groups
