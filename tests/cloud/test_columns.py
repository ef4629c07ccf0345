"""The columns that are declared once are those of the tables and of the row objects."""

import pytest

from cardmint_cloud.adapters.postgres import tables
from cardmint_cloud.adapters.postgres.columns import (
    EVENTS,
    ITEM_EDITS,
    ITEMS,
    EventRow,
    TableColumns,
)
from cardmint_cloud.domain.items import Item


@pytest.mark.parametrize("declared", [ITEMS, EVENTS], ids=lambda declared: declared.table)
def test_the_declaration_has_the_tables_columns(declared: TableColumns) -> None:
    table = tables.metadata.tables[declared.table]
    columns = {
        column.name: column
        for column in table.columns
        if column.name != "position" and column.computed is None
    }
    edited = {*ITEM_EDITS.names, "changes"} - set(ITEMS.names) if declared is ITEMS else set()
    assert set(declared.names) | edited == set(columns)
    columns = {name: column for name, column in columns.items() if name not in edited}
    nullable = {column.name for column in declared.columns if column.nullable}
    assert nullable == {name for name, column in columns.items() if column.nullable}


@pytest.mark.parametrize(
    ("declared", "row"), [(ITEMS, Item), (EVENTS, EventRow)], ids=["items", "events"]
)
def test_a_row_object_has_an_attribute_for_each_column(
    declared: TableColumns, row: type[Item | EventRow]
) -> None:
    edited = {*ITEM_EDITS.names, "changes"} if declared is ITEMS else set()
    assert set(declared.names) | edited == set(row.__struct_fields__)


def test_an_edit_finds_a_row_by_its_key_and_sets_the_rest() -> None:
    statement = ITEM_EDITS.update_from_arrays("changes", "f({})", "jsonb")
    assert statement.startswith("UPDATE items t SET status = n.status, card_id = n.card_id,")
    assert "certificate = n.certificate, changes = f(n.given) FROM unnest($1::text[]," in statement
    assert "$18::text[], $19::jsonb[]) AS n (tenant, item, status," in statement
    assert statement.endswith(" WHERE t.tenant = n.tenant AND t.item = n.item")


def test_an_insert_names_each_column_once_and_the_scalar_last() -> None:
    statement = EVENTS.insert_from_arrays(scalar="received_at")
    assert statement.startswith("INSERT INTO events (tenant, source, stream, sequence, type,")
    assert statement.count("received_at") == 1
    assert "data, received_at) SELECT *, $12::timestamptz FROM unnest($1::text[]," in statement
