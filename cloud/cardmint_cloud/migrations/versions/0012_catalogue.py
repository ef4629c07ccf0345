"""The catalogue, shared by all tenants: imports, sets, and printings with what is known of them."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE catalogue_imports (
            id bigserial PRIMARY KEY,
            imported_at timestamptz NOT NULL,
            made_at timestamptz NOT NULL,
            source text NOT NULL,
            version text NOT NULL,
            sets integer NOT NULL,
            printings integer NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE catalogue_sets (
            set_id text PRIMARY KEY,
            region text NOT NULL,
            name text NOT NULL,
            names jsonb NOT NULL,
            code text NOT NULL,
            official integer NOT NULL,
            released text NOT NULL,
            series text NOT NULL,
            tcgdex text NOT NULL,
            tcgplayer bigint,
            cardmarket bigint,
            printings integer NOT NULL,
            digest text NOT NULL
        )
        """
    )
    op.execute(
        """
        CREATE TABLE catalogue_printings (
            card_id text PRIMARY KEY,
            set_id text NOT NULL,
            place integer NOT NULL,
            number text NOT NULL,
            name text NOT NULL,
            words text NOT NULL,
            finishes text[] NOT NULL,
            facts jsonb NOT NULL
        )
        """
    )
    op.execute("CREATE INDEX catalogue_printings_set ON catalogue_printings (set_id, place)")


def downgrade() -> None:
    op.execute("DROP TABLE catalogue_printings")
    op.execute("DROP TABLE catalogue_sets")
    op.execute("DROP TABLE catalogue_imports")
