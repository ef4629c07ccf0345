"""The words of version 0.2: artifacts, and a margin that is one of confidences in every item.

Up to 0.1 an item's margin was the gap between two likenesses where a picture had decided. The log
keeps what was written; items take the margin that reading the log gives today. Items whose month is
in the archive keep theirs: `rebuild` names them.
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE fleet_wares RENAME TO fleet_artifacts")
    op.execute("ALTER TABLE fleet_artifacts RENAME COLUMN ware TO artifact")
    op.execute(
        """
        UPDATE items i SET margin = greatest(0, e.first - e.second)
          FROM (SELECT DISTINCT ON (tenant, scan) *
                  FROM (SELECT tenant, position, (data::jsonb ->> 'scan')::uuid AS scan,
                               coalesce(data::jsonb #>> '{candidates,0,confidence}',
                                        data::jsonb ->> 'confidence', '0')::float8 AS first,
                               coalesce(data::jsonb #>> '{candidates,1,confidence}', '0')::float8
                                 AS second
                          FROM events WHERE type = 'cardmint.card.scanned.v1') AS s
                 ORDER BY tenant, scan, position) AS e
         WHERE i.tenant = e.tenant AND i.item = e.scan
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE fleet_artifacts RENAME COLUMN artifact TO ware")
    op.execute("ALTER TABLE fleet_artifacts RENAME TO fleet_wares")
