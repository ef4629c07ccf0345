"""Cards from a file or by hand, added and changed as events; previewed first, taken back as one.

A file is read twice, block by block: to show what it will do, and to do it. Each block is one
transaction, so that stations never wait long; all blocks are one change. A file that was broken off
is imported again: what is there already stays as it is.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID, uuid4

from msgspec.structs import replace

from cardmint_cloud.adapters.card_files import Row
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection, tenant_transaction
from cardmint_cloud.adapters.postgres.ingest import changed_items, inventory
from cardmint_cloud.domain.file_formats import FileFormat, FormatReader, NotACard
from cardmint_cloud.domain.item_changes import (
    added_groups,
    grouped,
    in_additions,
    in_events,
    referred_item,
)
from cardmint_cloud.domain.item_rows import (
    MAX_QUANTITY,
    CardRow,
    PrintedCard,
    RowFault,
    changed_values,
    read_row,
)
from cardmint_cloud.domain.items import Item, ItemStatus
from cardmint_cloud.errors import Conflict
from cardmint_cloud.item_changes import ChangeOutcome
from cardmint_cloud.reviews.answers import append_user_events, lock_user_stream
from cardmint_cloud.row_printings import PrintingFinder
from cardmint_contracts.cards import Card
from cardmint_contracts.changes import ItemsGroup, ItemValues, Stock
from cardmint_contracts.events import EventData

BLOCK = 1000
"""Rows, and cards that they may add, of one transaction at most."""

KEPT_FAULTS = 100

_Block = list[tuple[int, CardRow]]
Words = Mapping[tuple[str, str], str]
"""Values for words of a file that nothing else knows, by column and word in lower case."""


@dataclass(kw_only=True, slots=True)
class ImportReport:
    """What a file does, or did: cards by outcome, rows that cannot be used, unknown words.

    `added` are new; `changed` got other values; `brought_back` were added and taken back before;
    `there` stay as they are. `faults` holds the first of the `wrong` rows, each with its number.
    Of a file of others, `form` is its format, `unused` counts the rows with values that nothing
    keeps, by heading, and `left_out` the rows about something else, by reason. `learned` are
    products of a marketplace, `sold` cards that an order took.
    """

    form: FileFormat | None = None
    learned: int = 0
    sold: int = 0
    unused: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    added: int = 0
    changed: int = 0
    brought_back: int = 0
    there: int = 0
    wrong: int = 0
    faults: list[tuple[int, str]] = field(default_factory=list)
    words: Counter[tuple[str, str]] = field(default_factory=Counter)
    change: UUID | None = None

    @property
    def effect(self) -> int:
        """Cards that are added, changed, brought back or sold, and products that are learned."""
        return self.added + self.changed + self.brought_back + self.sold + self.learned

    def refuse(self, number: int, fault: RowFault) -> None:
        """Note a row that cannot be used."""
        self.wrong += 1
        if fault.word is not None:
            self.words[fault.word] += 1
        if len(self.faults) < KEPT_FAULTS:
            self.faults.append((number, str(fault)))


@dataclass(kw_only=True, slots=True)
class _Plan:
    """What the rows of one block do to the `items` that are there, which are locked."""

    connection: PostgresConnection
    tenant: str
    report: ImportReport
    items: dict[UUID, Item] = field(default_factory=dict)
    printed: dict[str, PrintedCard] = field(default_factory=dict)
    new: list[tuple[UUID, str, ItemValues]] = field(default_factory=list)
    changes: dict[ItemValues, list[Item]] = field(default_factory=dict)

    async def read(self, rows: Sequence[CardRow]) -> None:
        """Lock the items that rows name, and read the printings of rows and items."""
        keys = [row.item for row in rows if row.item is not None]
        for row in rows:
            keys += self._copies(row) if row.item is None else ()
        touched = [(self.tenant, one) for one in keys]
        found, _ = await inventory.load_touched(self.connection, touched, [])
        self.items = {item: one for (_, item), one in found.items()}
        named = {row.card_id for row in rows} | {one.card_id for one in self.items.values()}
        self.printed = await changed_items.known_printings(
            self.connection, self.tenant, named - {""}
        )

    def change(self, row: CardRow, card: Card | None) -> None:
        """Give an item what its row says.

        Raises:
            RowFault: it is not there, or no longer as the file has it.
        """
        item = self.items.get(row.item) if row.item else None
        if item is None:
            raise RowFault(f"there is no card {row.item}")
        if item.version != row.version:
            raise RowFault(
                f"changed meanwhile: {item.card_id} is at version {item.version}, the file has"
                f" {row.version}; export it again"
            )
        after = changed_values(row, card, item.card_id)
        if after.card is not None and item.status is not ItemStatus.COUNTED:
            raise RowFault(f"{row.item} is not counted: answer the question about it")
        if after.fields and self._grouped([item], after):
            self.changes.setdefault(after, []).append(item)
            self.report.changed += 1
        else:
            self.report.there += 1

    async def add(self, row: CardRow, values: ItemValues) -> None:
        """Add what is not there; bring back what was added and taken back."""
        copies = self._copies(row)
        gone = {
            one
            for one in copies
            if one in self.items and self.items[one].stock == Stock.REMOVED.value
        }
        undone = await changed_items.undone_by(
            self.connection, self.tenant, {self.items[one].changes[-1] for one in gone}
        )
        for copy in copies:
            item = self.items.get(copy)
            if item is None:
                self.new.append((copy, row.reference, values))
                self.report.added += 1
            elif copy in gone and undone.get(item.changes[-1]) in item.changes:
                after = replace(values, stock=values.stock or Stock.IN_STOCK)
                self.changes.setdefault(after, []).append(item)
                self.report.brought_back += 1
            else:
                self.report.there += 1

    async def append(self, change: UUID, user: str, now: datetime, sequence: int) -> bool:
        """Append it to the log; return whether there is anything to append.

        Raises:
            Conflict: the log did not take it.
        """
        groups = [
            group for after, items in self.changes.items() for group in self._grouped(items, after)
        ]
        events: list[EventData] = [*in_additions(change, user, added_groups(self.new))]
        events += in_events(change, user, groups)
        if not events:
            return False
        done = await append_user_events(
            self.connection, self.tenant, user, events, now=now, sequence=sequence
        )
        if done.parked:
            raise Conflict("the log did not take these cards, and nothing was changed")
        return True

    def _grouped(self, items: Sequence[Item], after: ItemValues) -> list[ItemsGroup]:
        return grouped(items, after, {name: one.card for name, one in self.printed.items()})

    def _copies(self, row: CardRow) -> list[UUID]:
        return [referred_item(self.tenant, row.reference, n + 1) for n in range(row.quantity)]


async def check_rows(
    pool: Pool, tenant: str, rows: Iterable[Row], words: Words, reader: FormatReader | None = None
) -> ImportReport:
    """Return what a file would do; nothing is changed. `reader` reads rows of others as ours."""
    report, finder = _report(reader), PrintingFinder(tenant)
    async for block in in_thread(_blocks(rows, words, report, reader)):
        async with tenant_transaction(pool, tenant) as connection:
            await _planned(connection, tenant, block, report, finder)
    return report


async def import_rows(
    pool: Pool,
    tenant: str,
    rows: Iterable[Row],
    words: Words,
    reader: FormatReader | None = None,
    *,
    user: str,
    now: datetime,
) -> ImportReport:
    """Add and change the cards of a file, as one change; rows that cannot be used are left out.

    Raises:
        Conflict: the log did not take an event; the blocks before stay.
    """
    report, change, finder = _report(reader), uuid4(), PrintingFinder(tenant)
    async for block in in_thread(_blocks(rows, words, report, reader)):
        async with tenant_transaction(pool, tenant) as connection:
            sequence = await lock_user_stream(connection, tenant, user, now)
            plan = await _planned(connection, tenant, block, report, finder)
            if await plan.append(change, user, now, sequence):
                report.change = change
    return report


async def add_cards(
    pool: Pool,
    tenant: str,
    values: ItemValues,
    *,
    reference: str,
    quantity: int,
    user: str,
    now: datetime,
) -> ChangeOutcome:
    """Add cards that no camera saw, all with the same values, once for each reference.

    Raises:
        Conflict: the number cannot be, or the cards of this reference are there already.
    """
    if not 1 <= quantity <= MAX_QUANTITY:
        raise Conflict(f"from 1 to {MAX_QUANTITY:,} cards are added at a time")
    row = CardRow(
        item=None,
        version=0,
        reference=reference,
        quantity=quantity,
        card_id="",
        set_name="",
        number="",
        name="",
        values=values,
    )
    report, change = ImportReport(), uuid4()
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, user, now)
        plan = _Plan(connection=connection, tenant=tenant, report=report)
        await plan.read([row])
        await plan.add(row, values)
        if not await plan.append(change, user, now, sequence):
            raise Conflict("these cards were added already")
    return ChangeOutcome(change=change, items=report.effect)


Block = TypeVar("Block")


async def in_thread(blocks: Iterator[Block]) -> AsyncIterator[Block]:
    """Yield blocks that are read in a thread: a file may have many rows that cannot be used."""
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block


def _report(reader: FormatReader | None) -> ImportReport:
    return ImportReport(form=reader.form, unused=reader.unused) if reader else ImportReport()


def _blocks(
    rows: Iterable[Row], words: Words, report: ImportReport, reader: FormatReader | None
) -> Iterator[_Block]:
    """Yield readable rows in blocks; a card that a file names twice is a fault of the second row.

    What was named is held as numbers of eight bytes.
    """
    block: _Block = []
    size, named = 0, set[int]()
    for number, cells in rows:
        try:
            row = read_row(reader.read(cells) if reader else cells, words)
        except NotACard as other:
            report.left_out[str(other)] += 1
            continue
        except RowFault as fault:
            report.refuse(number, fault)
            continue
        key = hash((row.item, row.reference))
        if key in named:
            twice = f"an earlier row has `{row.item or row.reference}`, too"
            report.refuse(number, RowFault(twice))
            continue
        named.add(key)
        if block and size + row.quantity > BLOCK:
            yield block
            block, size = [], 0
        block.append((number, row))
        size += row.quantity
    if block:
        yield block


async def _planned(
    connection: PostgresConnection,
    tenant: str,
    block: Sequence[tuple[int, CardRow]],
    report: ImportReport,
    finder: PrintingFinder,
) -> _Plan:
    """Return what rows do, and count it."""
    rows = [row for _, row in block]
    plan = _Plan(connection=connection, tenant=tenant, report=report)
    await plan.read(rows)
    printings = await finder.find(connection, rows)
    for number, row in block:
        try:
            card = printings.of_row(row)
            if row.item is not None:
                plan.change(row, card)
            else:
                await plan.add(row, replace(row.values, card=card))
        except RowFault as fault:
            report.refuse(number, fault)
    return plan
