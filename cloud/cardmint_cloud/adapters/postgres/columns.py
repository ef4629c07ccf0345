"""The columns of `items` and `events`, declared once.

The COPY that ingest runs, the rows that are read back, the comparison of a rebuild, the archive's
schema and the laboratory's INSERT take names, types and order from here. Row objects have an
attribute for each column: `domain.items.Item` and `EventRow`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Any
from uuid import UUID

from msgspec import Struct

from cardmint_cloud.adapters.postgres import copy_encoding
from cardmint_cloud.adapters.postgres.copy_encoding import SqlType
from cardmint_contracts.cards import Card


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column.

    A column that `repeats` has the same value in most rows of a transaction; COPY encodes it once
    for all of them. The row object has `utf8` text as bytes.
    """

    name: str
    type: SqlType
    key: bool = False
    repeats: bool = False
    nullable: bool = False
    utf8: bool = False


class TableColumns:
    """The columns of one table, with the SQL and the encoding that follow from them."""

    def __init__(self, table: str, *columns: Column) -> None:
        self.table = table
        self.columns = columns
        self.names = [column.name for column in columns]
        self.keys = [column.name for column in columns if column.key]
        self.values = [column.name for column in columns if not column.key]
        self._repeating = [column for column in columns if column.repeats]
        self._single = [column for column in columns if not column.repeats]

    @property
    def copy_names(self) -> list[str]:
        """Names in the order in which `encode` writes the columns."""
        return [column.name for column in (*self._repeating, *self._single)]

    def encode(self, rows: Iterable[object]) -> Iterator[bytes]:
        """Return pieces that, joined, are the rows in the binary format of COPY.

        Column by column, which takes half the time of row by row.
        """
        rows = list(rows)
        heads = _Heads(self._repeating, copy_encoding.row_start(len(self.columns)))
        encoded = (
            copy_encoding.encode_column(
                map(attrgetter(column.name), rows), column.type, utf8=column.utf8
            )
            for column in self._single
        )
        head_of_row = map(heads.__getitem__, map(_getter(self._repeating), rows))
        return chain.from_iterable(zip(head_of_row, *encoded, strict=True))

    def insert_from_arrays(self, *, scalar: str = "") -> str:
        """Return an INSERT of one array a column; one value for `scalar` comes last."""
        arrays = [column for column in self.columns if column.name != scalar]
        names = ", ".join([column.name for column in arrays] + ([scalar] if scalar else []))
        unnested = ", ".join(f"${n}::{column.type}[]" for n, column in enumerate(arrays, 1))
        value = f", ${len(arrays) + 1}::{self._type(scalar)}" if scalar else ""
        return f"INSERT INTO {self.table} ({names}) SELECT *{value} FROM unnest({unnested})"  # noqa: S608 - our names

    def update_from_arrays(self, name: str, value: str, type_name: str) -> str:
        """Return an UPDATE of one array a column; the last array gives `name`, through `value`."""
        arrays = ", ".join(f"${n}::{column.type}[]" for n, column in enumerate(self.columns, 1))
        given = ", ".join([*self.names, "given"])
        sets = ", ".join(f"{one} = n.{one}" for one in self.values)
        where = " AND ".join(f"t.{key} = n.{key}" for key in self.keys)
        return (
            f"UPDATE {self.table} t SET {sets}, {name} = {value.format('n.given')}"  # noqa: S608 - our names
            f" FROM unnest({arrays}, ${len(self.columns) + 1}::{type_name}[]) AS n ({given})"
            f" WHERE {where}"
        )

    def arrays(self, rows: Iterable[object], *, scalar: str = "") -> list[list[Any]]:
        """Return the arrays for `insert_from_arrays`: the rows' values, a list for each column."""
        columns = [column for column in self.columns if column.name != scalar]
        transposed = zip(*map(_getter(columns), rows), strict=True)
        return [
            [value.decode() for value in values] if column.utf8 else list(values)
            for column, values in zip(columns, transposed, strict=True)
        ]

    def _type(self, name: str) -> SqlType:
        return next(column.type for column in self.columns if column.name == name)


class _Heads(dict[tuple[Any, ...], bytes]):
    """Encoded beginnings of rows, by the values of the columns that repeat."""

    def __init__(self, columns: Sequence[Column], row_start: bytes) -> None:
        super().__init__()
        self._columns = columns
        self._row_start = row_start

    def __missing__(self, values: tuple[Any, ...]) -> bytes:
        encoded = (
            copy_encoding.encode_column([value], column.type)
            for column, value in zip(self._columns, values, strict=True)
        )
        head = self[values] = self._row_start + b"".join(chain.from_iterable(encoded))
        return head


def _getter(columns: Sequence[Column]) -> Callable[[object], tuple[Any, ...]]:
    return attrgetter(*(column.name for column in columns))


def printing_of(row: Any) -> Card:
    """Return the printing of a row that has the columns of `printings`."""
    return Card(
        id=row["card_id"],
        name=row["name"],
        number=row["number"],
        set_id=row["set_id"],
        set_name=row["set_name"],
    )


ITEMS = TableColumns(
    "items",
    Column(name="tenant", type="text", key=True, repeats=True),
    Column(name="item", type="uuid", key=True),
    Column(name="station", type="text", repeats=True),
    Column(name="captured_at", type="timestamptz"),
    Column(name="received_at", type="timestamptz", repeats=True),
    Column(name="status", type="text", repeats=True),
    Column(name="card_id", type="text"),
    Column(name="language", type="text", repeats=True),
    Column(name="finish", type="text", repeats=True),
    Column(name="edition", type="text", repeats=True),
    Column(name="condition", type="text", repeats=True),
    Column(name="bin", type="text"),
    Column(name="lot", type="text"),
    Column(name="confidence", type="float8"),
    Column(name="margin", type="float8"),
    Column(name="image", type="text"),
    Column(name="version", type="integer", repeats=True),
)

ITEM_EDITS = TableColumns(
    "items",
    Column(name="tenant", type="text", key=True),
    Column(name="item", type="uuid", key=True),
    Column(name="status", type="text"),
    Column(name="card_id", type="text"),
    Column(name="language", type="text"),
    Column(name="finish", type="text"),
    Column(name="edition", type="text"),
    Column(name="condition", type="text"),
    Column(name="bin", type="text"),
    Column(name="lot", type="text"),
    Column(name="version", type="integer"),
    Column(name="note", type="text"),
    Column(name="stock", type="text"),
    Column(name="paid_minor", type="bigint", nullable=True),
    Column(name="paid_currency", type="text"),
    Column(name="grader", type="text"),
    Column(name="grade", type="text"),
    Column(name="certificate", type="text"),
)
"""The columns of an item that may change. A new item has the defaults in those after `version`.

`changes`, the array of changes, is beside them: an array of arrays is no column of `unnest`.
"""

EVENTS = TableColumns(
    "events",
    Column(name="tenant", type="text", repeats=True),
    Column(name="source", type="text", repeats=True),
    Column(name="stream", type="uuid", repeats=True),
    Column(name="sequence", type="bigint"),
    Column(name="type", type="text", repeats=True),
    Column(name="subject", type="uuid", nullable=True),
    Column(name="received_at", type="timestamptz", repeats=True),
    Column(name="occurred_at", type="timestamptz"),
    Column(name="bootid", type="uuid"),
    Column(name="monotonic_ms", type="bigint"),
    Column(name="clock_synced", type="boolean"),
    Column(name="data", type="text", utf8=True),
)
"""The columns that are written. `position` is not among them: Postgres numbers the rows."""

ARCHIVED_EVENTS = (Column(name="position", type="bigint"), *EVENTS.columns)
"""The columns of a month's file, in its order, which older files have too."""


class EventRow(Struct, frozen=True, kw_only=True, gc=False):
    """One event as a row of `events`."""

    tenant: str
    source: str
    stream: UUID
    sequence: int
    type: str
    subject: UUID | None
    received_at: datetime
    occurred_at: datetime
    bootid: UUID
    monotonic_ms: int
    clock_synced: bool
    data: bytes
