"""The eviction ledger's index covers every version of its events."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("DROP INDEX events_evicted")
    op.execute(
        "CREATE INDEX events_evicted ON events (tenant, source) WHERE type LIKE 'cardmint.image.evicted.v%'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX events_evicted")
    op.execute(
        "CREATE INDEX events_evicted ON events (tenant, source) WHERE type = 'cardmint.image.evicted.v1'"
    )
