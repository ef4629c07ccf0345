"""Where a session came from is sealed by its person's key; earlier sessions keep it in clear."""

from alembic import op

revision = "0030"
down_revision = "0027"


def upgrade() -> None:
    op.execute("ALTER TABLE account_sessions ADD COLUMN personal bytea")


def downgrade() -> None:
    op.execute("ALTER TABLE account_sessions DROP COLUMN personal")
