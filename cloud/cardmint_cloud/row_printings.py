"""Which printing each row of a file is about: the same rules for our files and those of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest import changed_items
from cardmint_cloud.domain.item_rows import (
    SET,
    CardRow,
    PrintedCard,
    RowFault,
    number_of,
    printing_of_row,
)
from cardmint_cloud.domain.tcgplayer import set_names
from cardmint_contracts.cards import Card


@dataclass(frozen=True, kw_only=True, slots=True)
class RowPrintings:
    """The printings that some rows may be about: by identifier, product, and set and number.

    `sets` are the names of sets that are known, in lower case.
    """

    by_id: Mapping[str, PrintedCard]
    by_product: Mapping[str, Sequence[PrintedCard]]
    by_number: Mapping[tuple[str, str], Sequence[PrintedCard]]
    sets: set[str]

    def of_row(self, row: CardRow) -> Card | None:
        """Return the printing that a row names; None for an item's row that names none.

        Raises:
            RowFault: none or several fit, or nobody knows the set.
        """
        if row.card_id:
            known = self.by_id.get(row.card_id)
            return printing_of_row(row, [known] if known else [])
        if named := self.by_product.get(row.product):
            return printing_of_row(row, named)
        names = set_names(row.set_name)
        if row.set_name and row.number and not self.sets.intersection(names):
            raise RowFault(f"no set is called {row.set_name[:80]!r}", (SET, row.set_name[:200]))
        known_as = next((one for one in names if one in self.sets), "")
        return printing_of_row(row, self.by_number.get((known_as, number_of(row.number)), []))


class PrintingFinder:
    """Finds the printings that rows of one file may be about; each set is read once."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._asked: set[str] = set()
        self._sets: set[str] = set()
        self._by_number: dict[tuple[str, str], list[PrintedCard]] = {}

    async def find(self, connection: PostgresConnection, rows: Sequence[CardRow]) -> RowPrintings:
        """Return the printings that rows may be about."""
        open_rows = [one for one in rows if not one.card_id]
        named = {name for one in open_rows if one.number for name in set_names(one.set_name)}
        await self._read_sets(connection, named - {""} - self._asked)
        ids = {one.card_id for one in rows if one.card_id}
        products = {one.product for one in open_rows if one.product}
        return RowPrintings(
            by_id=await changed_items.known_printings(connection, self._tenant, ids),
            by_product=await changed_items.printings_of_products(connection, products),
            by_number=self._by_number,
            sets=self._sets,
        )

    async def _read_sets(self, connection: PostgresConnection, names: set[str]) -> None:
        self._asked |= names
        for known_as, printed in await changed_items.printings_of_sets(
            connection, self._tenant, names
        ):
            for name in names.intersection(known_as):
                self._sets.add(name)
                key = (name, number_of(printed.card.number))
                self._by_number.setdefault(key, []).append(printed)
