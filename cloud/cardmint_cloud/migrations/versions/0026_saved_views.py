"""Queries that people keep under a name."""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE saved_views (
            tenant text NOT NULL,
            name text NOT NULL,
            query text NOT NULL,
            made_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, name)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE saved_views")
