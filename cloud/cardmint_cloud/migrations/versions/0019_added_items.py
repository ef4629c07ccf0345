"""The latest additions of cards, found as fast as the latest changes."""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX events_items_added ON events (tenant, position)"
        " WHERE type LIKE 'cardmint.items.added.v%'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX events_items_added")
