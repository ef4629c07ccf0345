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
    sets: frozenset[str]

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


async def find_printings(
    connection: PostgresConnection, tenant: str, rows: Sequence[CardRow]
) -> RowPrintings:
    """Read the printings that rows may be about."""
    open_rows = [one for one in rows if not one.card_id]
    wanted = {name for one in open_rows if one.number for name in set_names(one.set_name)} - {""}
    by_number: dict[tuple[str, str], list[PrintedCard]] = {}
    sets: set[str] = set()
    for names, printed in await changed_items.printings_of_sets(connection, tenant, wanted):
        for name in wanted.intersection(names):
            sets.add(name)
            by_number.setdefault((name, number_of(printed.card.number)), []).append(printed)
    ids = {one.card_id for one in rows if one.card_id}
    products = {one.product for one in open_rows if one.product}
    return RowPrintings(
        by_id=await changed_items.known_printings(connection, tenant, ids),
        by_product=await changed_items.printings_of_products(connection, products),
        by_number=by_number,
        sets=frozenset(sets),
    )
