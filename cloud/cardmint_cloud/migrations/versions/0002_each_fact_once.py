"""Each fact once: an event's data as its bytes, items without the log's or printings' columns."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = (
    "ALTER TABLE events ALTER COLUMN data TYPE text USING data::text",
    (
        "ALTER TABLE items DROP COLUMN candidates, DROP COLUMN reasons, DROP COLUMN name, DROP COLUMN number,"
        " DROP COLUMN set_id, DROP COLUMN set_name"
    ),
    "DROP INDEX items_newest",
    "CREATE INDEX events_evicted ON events (tenant, source) WHERE type = 'cardmint.image.evicted.v1'",
    "CREATE INDEX printings_set ON printings (tenant, set_id)",
    "CREATE INDEX printings_name ON printings (tenant, lower(name))",
    (
        "CREATE TABLE retired_months (month date PRIMARY KEY, file text NOT NULL, events bigint NOT NULL,"
        " last_position bigint NOT NULL, retired_at timestamptz NOT NULL)"
    ),
    # Rows that are rewritten with every group of events: room on the page keeps the new version
    # beside the old one.
    "ALTER TABLE holdings SET (fillfactor = 50)",
    "ALTER TABLE watermarks SET (fillfactor = 50)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    message = "what the items no longer say is in the log; restore a backup to go back"
    raise NotImplementedError(message)
