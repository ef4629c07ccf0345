"""How many of a provider's last answers had no price that can be read."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE provider_states ADD COLUMN judged integer NOT NULL DEFAULT 0,"
        " ADD COLUMN unpriced integer NOT NULL DEFAULT 0"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE provider_states DROP COLUMN judged, DROP COLUMN unpriced")
