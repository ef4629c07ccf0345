"""The words of version 0.2: artifacts, and a margin that is one of confidences in every item.

Up to 0.1 an item's margin was the gap between two likenesses where a picture had decided. The log
keeps what was written; items take the margin that reading the log gives today. Items whose month is
in the archive, or whose event Postgres cannot read as JSON, keep theirs until
`cardmint-cloud rebuild --take-margins`.

The table of slot leases is renamed first. A worker of 0.1 that still runs waits for it before it
writes, so that no item gets an earlier margin afterwards; another worker takes over.
"""

from alembic import op

revision = "0009"
down_revision = "0008"


_MARGIN = """
CREATE FUNCTION pg_temp.margin(data text) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN greatest(0, coalesce(data::jsonb #>> '{candidates,0,confidence}',
                                data::jsonb ->> 'confidence', '0')::float8
                       - coalesce(data::jsonb #>> '{candidates,1,confidence}', '0')::float8);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$
"""
_SCAN = """
CREATE FUNCTION pg_temp.scan(data text) RETURNS uuid LANGUAGE plpgsql AS $$
BEGIN
    RETURN (data::jsonb ->> 'scan')::uuid;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE leases RENAME TO slot_leases")
    op.execute("ALTER TABLE fleet_wares RENAME TO fleet_artifacts")
    op.execute("ALTER TABLE fleet_artifacts RENAME COLUMN ware TO artifact")
    op.execute(_SCAN)
    op.execute(_MARGIN)
    op.execute(
        """
        UPDATE items i SET margin = e.margin
          FROM (SELECT DISTINCT ON (tenant, scan) *
                  FROM (SELECT tenant, position, pg_temp.scan(data::text) AS scan,
                               pg_temp.margin(data::text) AS margin
                          FROM events WHERE type = 'cardmint.card.scanned.v1') AS s
                 ORDER BY tenant, scan, position) AS e
         WHERE i.tenant = e.tenant AND i.item = e.scan AND e.margin IS NOT NULL
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE slot_leases RENAME TO leases")
    op.execute("ALTER TABLE fleet_artifacts RENAME COLUMN artifact TO ware")
    op.execute("ALTER TABLE fleet_artifacts RENAME TO fleet_wares")
