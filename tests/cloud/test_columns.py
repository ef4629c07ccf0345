"""The columns that are declared once are those of the tables and of the row objects."""

import pytest

from cardmint_cloud.adapters.postgres import tables
from cardmint_cloud.adapters.postgres.columns import EVENTS, ITEMS, EventRow, TableColumns
from cardmint_cloud.domain.items import Item


@pytest.mark.parametrize("declared", [ITEMS, EVENTS], ids=lambda declared: declared.table)
def test_the_declaration_has_the_tables_columns(declared: TableColumns) -> None:
    table = tables.metadata.tables[declared.table]
    columns = {column.name: column for column in table.columns if column.name != "position"}
    assert set(declared.names) == set(columns)
    nullable = {column.name for column in declared.columns if column.nullable}
    assert nullable == {name for name, column in columns.items() if column.nullable}


@pytest.mark.parametrize(
    ("declared", "row"), [(ITEMS, Item), (EVENTS, EventRow)], ids=["items", "events"]
)
def test_a_row_object_has_an_attribute_for_each_column(
    declared: TableColumns, row: type[Item | EventRow]
) -> None:
    assert set(declared.names) == set(row.__struct_fields__)


def test_an_insert_names_each_column_once_and_the_scalar_last() -> None:
    statement = EVENTS.insert_from_arrays(scalar="received_at")
    assert statement.startswith("INSERT INTO events (tenant, source, stream, sequence, type,")
    assert statement.count("received_at") == 1
    assert "data, received_at) SELECT *, $12::timestamptz FROM unnest($1::text[]," in statement
