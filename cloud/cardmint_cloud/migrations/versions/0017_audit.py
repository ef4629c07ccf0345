"""The audit log: append-only for everybody, its owner too, with a hash chain for each tenant."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE audit_entries (
            tenant text NOT NULL,
            number bigint NOT NULL,
            at timestamptz NOT NULL,
            entry text NOT NULL,
            hash bytea NOT NULL,
            PRIMARY KEY (tenant, number)
        )
        """
    )
    op.execute(
        """
        CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = '42501';
        END $$
        """
    )
    op.execute(
        "CREATE TRIGGER audit_rows_stay BEFORE UPDATE OR DELETE ON audit_entries"
        " FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()"
    )
    op.execute(
        "CREATE TRIGGER audit_table_stays BEFORE TRUNCATE ON audit_entries"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()"
    )


def downgrade() -> None:
    op.execute("DROP TABLE audit_entries")
    op.execute("DROP FUNCTION audit_is_append_only()")
