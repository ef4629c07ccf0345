"""Queries over the shared catalogue: its age, sets, and printings."""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import RowMapping, and_, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries.inventory import like_pattern, rows
from cardmint_cloud.adapters.postgres.tables import (
    catalogue_imports,
    catalogue_printings,
    catalogue_sets,
    holdings,
)
from cardmint_cloud.domain.catalogue_words import query_words
from cardmint_contracts.cards import Card
from cardmint_contracts.catalogue import Printing, Region
from cardmint_contracts.control import NewestSets, ReleasedSet

_p, _s = catalogue_printings, catalogue_sets
_LISTED = (
    *(_p.c.card_id, _p.c.number, _p.c.name, _p.c.finishes, _p.c.set_id),
    *(_s.c.name.label("set_name"), _s.c.released, _s.c.official, _s.c.code),
)
_WITH_SET = _p.join(_s, _s.c.set_id == _p.c.set_id)


async def last_import(connection: AsyncConnection) -> RowMapping | None:
    """Return the last import; None before the first."""
    newest = select(catalogue_imports).order_by(catalogue_imports.c.id.desc()).limit(1)
    return (await connection.execute(newest)).mappings().one_or_none()


async def list_sets(connection: AsyncConnection, tenant: str) -> list[RowMapping]:
    """Return all sets, the newest first, each with how many of its printings are held."""
    held = (
        select(_p.c.set_id, func.count(func.distinct(_p.c.card_id)).label("held"))
        .select_from(
            holdings.join(_p, and_(holdings.c.tenant == tenant, holdings.c.card_id == _p.c.card_id))
        )
        .where(holdings.c.count > 0)
        .group_by(_p.c.set_id)
        .subquery()
    )
    statement = (
        select(_s, func.coalesce(held.c.held, 0).label("held"))
        .select_from(_s.outerjoin(held, held.c.set_id == _s.c.set_id))
        .order_by(_s.c.released.desc(), _s.c.set_id)
    )
    return rows(await connection.execute(statement))


async def newest_sets(connection: AsyncConnection, *, limit: int = 40) -> NewestSets:
    """Return the international sets that came out last, the newest first."""
    statement = (
        select(_s.c.set_id, _s.c.name, _s.c.released)
        .where(_s.c.region == Region.INTERNATIONAL.value, _s.c.released != "")
        .order_by(_s.c.released.desc(), _s.c.set_id)
        .limit(limit)
    )
    found = (await connection.execute(statement)).all()
    return NewestSets(
        sets=tuple(ReleasedSet(id=id_, name=name, released=day) for id_, name, day in found)
    )


async def find_set(connection: AsyncConnection, set_id: str) -> RowMapping | None:
    """Return one set; None when the catalogue lacks it."""
    statement = select(_s).where(_s.c.set_id == set_id)
    return (await connection.execute(statement)).mappings().one_or_none()


async def printings_of(connection: AsyncConnection, tenant: str, set_id: str) -> list[RowMapping]:
    """Return a set's printings in their order, each with the number of items held."""
    held = (
        select(func.coalesce(func.sum(holdings.c.count), 0))
        .where(holdings.c.tenant == tenant, holdings.c.card_id == _p.c.card_id)
        .scalar_subquery()
    )
    statement = (
        select(*_LISTED, held.label("held"))
        .select_from(_WITH_SET)
        .where(_p.c.set_id == set_id)
        .order_by(_p.c.place)
    )
    return rows(await connection.execute(statement))


async def search(connection: AsyncConnection, text: str, *, limit: int) -> list[RowMapping]:
    """Find printings by what is printed on them, in any language; international ones first."""
    words = query_words(text)
    if not words:
        return []
    statement = select(*_LISTED).select_from(_WITH_SET)
    for word in words:
        statement = statement.where(_p.c.words.like(like_pattern(word), escape="\\"))
    first = func.array_position(list(words), func.lower(_p.c.number)).is_(None)
    ordered = statement.order_by(
        first, _s.c.region.desc(), func.length(_p.c.name), _s.c.released.desc(), _p.c.card_id
    )
    return rows(await connection.execute(ordered.limit(limit)))


async def find_facts(connection: AsyncConnection, card_id: str) -> Printing | None:
    """Return what the catalogue knows of a printing; None when it lacks it."""
    facts: Any = await connection.scalar(select(_p.c.facts).where(_p.c.card_id == card_id))
    return None if facts is None else msgspec.convert(facts, Printing)


async def find_card(connection: AsyncConnection, card_id: str) -> Card | None:
    """Return a printing of the catalogue as stations name it; None when it lacks it."""
    statement = select(*_LISTED).select_from(_WITH_SET).where(_p.c.card_id == card_id)
    row = (await connection.execute(statement)).mappings().one_or_none()
    if row is None:
        return None
    return Card(
        id=row["card_id"],
        name=row["name"],
        number=row["number"],
        set_id=row["set_id"],
        set_name=row["set_name"],
    )


async def finishes_by_card(
    connection: AsyncConnection, card_ids: list[str]
) -> dict[str, list[str]]:
    """Return the finishes in which printings exist, where the catalogue knows any."""
    statement = select(_p.c.card_id, _p.c.finishes).where(_p.c.card_id.in_(card_ids))
    found = (await connection.execute(statement)).all()
    return {card_id: list(finishes) for card_id, finishes in found if finishes}


async def set_prints(connection: AsyncConnection) -> dict[str, tuple[str, str]]:
    """Return the code and the size that each set prints on its cards, by its identifier."""
    statement = select(_s.c.set_id, _s.c.code, _s.c.official)
    found = (await connection.execute(statement)).all()
    return {set_id: (code, str(official or "")) for set_id, code, official in found}


async def set_names(connection: AsyncConnection) -> dict[str, str]:
    """Return the names of all sets by their identifiers, in the order of the names."""
    statement = select(_s.c.set_id, _s.c.name).order_by(func.lower(_s.c.name), _s.c.set_id)
    return {row.set_id: row.name for row in await connection.execute(statement)}


async def cardmarket_products(
    connection: AsyncConnection, card_ids: Collection[str]
) -> dict[str, str]:
    """Return Cardmarket's product of each printing that has one alone."""
    products = func.jsonb_path_query_array(_p.c.facts, literal_column("'$.**.cardmarket'"))
    statement = select(_p.c.card_id, products).where(_p.c.card_id.in_(card_ids))
    found: dict[str, str] = {}
    for card_id, numbers in (await connection.execute(statement)).all():
        alone = {one for one in numbers if one is not None}
        if len(alone) == 1:
            found[card_id] = str(alone.pop())
    return found
