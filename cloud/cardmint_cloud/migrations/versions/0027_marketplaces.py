"""What marketplaces offer, what they were sent, what they sold; and their numbers of products."""

from alembic import op

revision = "0027"
down_revision = "0029"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE market_listings (
            tenant text NOT NULL,
            market text NOT NULL,
            sku text NOT NULL,
            card_id text NOT NULL,
            language text NOT NULL,
            finish text NOT NULL,
            edition text NOT NULL,
            condition text NOT NULL,
            cells jsonb NOT NULL,
            listed integer NOT NULL,
            price_minor bigint,
            price_currency text NOT NULL,
            seen_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, market, sku)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE market_files (
            tenant text NOT NULL,
            file uuid NOT NULL,
            market text NOT NULL,
            made_at timestamptz NOT NULL,
            taken_back_at timestamptz,
            PRIMARY KEY (tenant, file)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE market_file_rows (
            tenant text NOT NULL,
            file uuid NOT NULL,
            sku text NOT NULL,
            listed integer NOT NULL,
            delta integer NOT NULL,
            price_minor bigint NOT NULL,
            price_currency text NOT NULL,
            PRIMARY KEY (tenant, file, sku),
            FOREIGN KEY (tenant, file) REFERENCES market_files (tenant, file) ON DELETE CASCADE
        )
        """
    )
    op.execute(
        """
        CREATE TABLE market_sales (
            tenant text NOT NULL,
            market text NOT NULL,
            order_number text NOT NULL,
            sku text NOT NULL,
            change uuid NOT NULL,
            items uuid[] NOT NULL,
            taken_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, market, order_number, sku, change)
        )
        """
    )
    op.execute("CREATE INDEX market_sales_of ON market_sales (tenant, market, sku, taken_at)")
    for market in ("tcgplayer", "cardmarket"):
        op.execute(
            f"CREATE INDEX catalogue_printings_{market} ON catalogue_printings"
            f" USING gin (jsonb_path_query_array(facts, '$.**.{market}'))"
        )


def downgrade() -> None:
    for market in ("tcgplayer", "cardmarket"):
        op.execute(f"DROP INDEX catalogue_printings_{market}")
    for table in ("market_sales", "market_file_rows", "market_files", "market_listings"):
        op.execute(f"DROP TABLE {table}")
