"""The feed of each tenant that has one: what its programs are told, and how far."""

from alembic import op

revision = "0023"
down_revision = "0026"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE feeds (
            tenant text PRIMARY KEY,
            stream uuid NOT NULL,
            opened_at timestamptz NOT NULL,
            numbered bigint NOT NULL DEFAULT 0,
            published bigint NOT NULL DEFAULT 0
        )
        """
    )
    op.execute(
        """
        CREATE TABLE feed_runs (
            tenant text NOT NULL,
            id bigserial NOT NULL,
            written_at timestamptz NOT NULL,
            count integer NOT NULL,
            entries bytea NOT NULL,
            first bigint,
            PRIMARY KEY (tenant, id)
        )
        """
    )
    # Compressing took longer than writing.
    op.execute("ALTER TABLE feed_runs ALTER COLUMN entries SET STORAGE EXTERNAL")
    op.execute(
        "CREATE UNIQUE INDEX feed_runs_first ON feed_runs (tenant, first) WHERE first IS NOT NULL"
    )
    op.execute("CREATE INDEX feed_runs_new ON feed_runs (tenant, id) WHERE first IS NULL")
    op.execute(
        """
        CREATE FUNCTION across_feeds() RETURNS SETOF text
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
        DECLARE
            before text := current_setting('cardmint.tenant', true);
        BEGIN
            PERFORM set_config('cardmint.tenant', '*', true);
            RETURN QUERY SELECT f.tenant FROM feeds f ORDER BY 1;
            PERFORM set_config('cardmint.tenant', coalesce(before, ''), true);
        END
        $$
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION across_feeds()")
    op.execute("DROP TABLE feed_runs")
    op.execute("DROP TABLE feeds")
