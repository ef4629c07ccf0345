"""What a receipt proves: the digest of each stream, and the name of this database.

`moved_events` names the events that the log has under another stream than their first. `stations`
remembers the boot before the last: when both go on, two boxes have one name.
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE watermarks ADD COLUMN digest bytea")
    op.execute(
        """
        CREATE TABLE moved_events (
            tenant text NOT NULL,
            stream uuid NOT NULL,
            sequence bigint NOT NULL,
            sha256 bytea NOT NULL,
            PRIMARY KEY (tenant, stream, sequence, sha256)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE database_identity (
            only_row boolean PRIMARY KEY CHECK (only_row),
            id uuid NOT NULL,
            replaces uuid[] NOT NULL DEFAULT '{}'
        )
        """
    )
    op.execute("INSERT INTO database_identity (only_row, id) VALUES (true, gen_random_uuid())")
    op.execute("ALTER TABLE stations ADD COLUMN other_bootid uuid, ADD COLUMN twins_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE stations DROP COLUMN other_bootid, DROP COLUMN twins_at")
    op.execute("DROP TABLE database_identity")
    op.execute("DROP TABLE moved_events")
    op.execute("ALTER TABLE watermarks DROP COLUMN digest")
