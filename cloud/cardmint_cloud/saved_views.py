"""Saved views: queries that a shop keeps under a name, for all who see its cards."""

from datetime import datetime

from cardmint_cloud.adapters.postgres import saved_views as rows
from cardmint_cloud.adapters.postgres.connection import TenantDatabase
from cardmint_cloud.domain.item_query import QueryFault, parse_query
from cardmint_cloud.errors import Conflict

MOST = 100
LONGEST_NAME = 60


async def save_view(
    database: TenantDatabase, tenant: str, name: str, query: str, *, now: datetime
) -> None:
    """Keep a query under a name.

    Raises:
        Conflict: the name is taken or cannot be used, the query cannot be read, or there are too
            many.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise Conflict(f"a name has 1 to {LONGEST_NAME} letters")
    try:
        terms = parse_query(query, now.date()).terms
    except QueryFault as fault:
        raise Conflict(f"the search cannot be read: {fault}") from None
    if not terms and not query.strip():
        raise Conflict("search for something first: this is what the view shows")
    if await rows.add(database, tenant, name, query.strip(), now=now, most=MOST):
        return
    if await rows.is_taken(database, tenant, name):
        raise Conflict(f"there is a view “{name}” already: remove it first, or choose another name")
    raise Conflict(f"there are {MOST} views: remove one first")
