"""The words that are printed on cards: what a misspelt search may have meant."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.tables import catalogue_imports as ci
from cardmint_cloud.adapters.postgres.tables import catalogue_printings as cp
from cardmint_cloud.adapters.postgres.tables import printings as p

_LETTERS = "^[a-z]{3,}$"
_WORD = "word"


@dataclass(kw_only=True, slots=True)
class Vocabulary:
    """The words of the shared catalogue, kept until the next import; a tenant's own beside."""

    _catalogue: tuple[str, ...] = ()
    _read_of: int | None = None

    async def words(self, connection: AsyncConnection, tenant: str) -> tuple[str, ...]:
        """Return the words of Latin letters on all cards that the tenant may look for."""
        newest = await connection.scalar(select(func.max(ci.c.id)))
        if newest != self._read_of:
            self._catalogue = await _words(connection, select(_parted(cp.c.words)))
            self._read_of = newest
        own = select(_parted(p.c.words)).where(p.c.tenant == tenant)
        return (*self._catalogue, *await _words(connection, own))


def _parted(words: ColumnElement[str]) -> ColumnElement[str]:
    return func.regexp_split_to_table(words, " ").label(_WORD)


async def _words(connection: AsyncConnection, every: Select[Any]) -> tuple[str, ...]:
    words = every.subquery().c[_WORD]
    distinct = select(words).where(words.regexp_match(_LETTERS)).distinct().order_by(words)
    return tuple((await connection.scalars(distinct)).all())
