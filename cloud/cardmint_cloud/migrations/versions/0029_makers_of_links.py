"""One-time links say who made them, so that they end with that person's rights."""

from alembic import op

revision = "0029"
down_revision = "0024"


def upgrade() -> None:
    op.execute("ALTER TABLE account_links ADD COLUMN made_by uuid")


def downgrade() -> None:
    op.execute("ALTER TABLE account_links DROP COLUMN made_by")
