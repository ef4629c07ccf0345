"""Gates of dead providers, so that one worker probes for all."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE provider_gates (provider text PRIMARY KEY, until timestamptz NOT NULL)"
    )


def downgrade() -> None:
    op.execute("DROP TABLE provider_gates")
