"""What a person changes about items, and the text by which printings are searched."""

import sqlalchemy as sa
from alembic import op

from cardmint_cloud.domain.catalogue_words import card_text

revision = "0014"
down_revision = "0013"

_COLUMNS = {
    "note": "text NOT NULL DEFAULT ''",
    "stock": "text NOT NULL DEFAULT 'in-stock'",
    "paid_minor": "bigint",
    "paid_currency": "text NOT NULL DEFAULT ''",
    "grader": "text NOT NULL DEFAULT ''",
    "grade": "text NOT NULL DEFAULT ''",
    "certificate": "text NOT NULL DEFAULT ''",
    "changes": "uuid[] NOT NULL DEFAULT '{}'",
}


def upgrade() -> None:
    op.execute(
        "ALTER TABLE items " + ", ".join(f"ADD COLUMN {name} {of}" for name, of in _COLUMNS.items())
    )
    op.execute(
        "CREATE INDEX events_items_changed ON events (tenant, position)"
        " WHERE type LIKE 'cardmint.items.changed.v%'"
    )
    op.execute("ALTER TABLE printings ADD COLUMN words text NOT NULL DEFAULT ''")
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT * FROM printings")).mappings().all()
    texts = [
        {
            "tenant": row["tenant"],
            "card_id": row["card_id"],
            "words": card_text(
                row["card_id"], row["name"], row["number"], row["set_id"], row["set_name"]
            ),
        }
        for row in found
    ]
    if texts:
        connection.execute(
            sa.text(
                "UPDATE printings SET words = :words WHERE tenant = :tenant AND card_id = :card_id"
            ),
            texts,
        )


def downgrade() -> None:
    op.execute("ALTER TABLE printings DROP COLUMN words")
    op.execute("DROP INDEX events_items_changed")
    op.execute("ALTER TABLE items " + ", ".join(f"DROP COLUMN {name}" for name in _COLUMNS))
