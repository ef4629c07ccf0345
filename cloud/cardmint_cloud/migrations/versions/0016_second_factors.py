"""Second factors, when a session proved itself, keys of persons, and read-only links."""

from alembic import op

revision = "0016"
down_revision = "0015"

OF_ACCOUNT = "FOREIGN KEY (tenant, account) REFERENCES accounts (tenant, account) ON DELETE CASCADE"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE account_sessions
            ADD COLUMN stage text NOT NULL DEFAULT 'whole' CHECK (stage IN ('second', 'whole')),
            ADD COLUMN proved_at timestamptz,
            ADD COLUMN challenge bytea
        """
    )
    op.execute(
        f"""
        ALTER TABLE account_links
            ADD COLUMN account uuid,
            ADD COLUMN drops_factors boolean NOT NULL DEFAULT false,
            ADD {OF_ACCOUNT}
        """
    )
    op.execute(
        f"""
        CREATE TABLE account_factors (
            tenant text NOT NULL,
            factor uuid NOT NULL,
            account uuid NOT NULL,
            kind text NOT NULL CHECK (kind IN ('totp', 'passkey')),
            name text NOT NULL,
            secret bytea NOT NULL,
            credential bytea,
            counter bigint NOT NULL DEFAULT 0,
            confirmed boolean NOT NULL,
            made_at timestamptz NOT NULL,
            used_at timestamptz,
            PRIMARY KEY (tenant, factor),
            UNIQUE (tenant, credential),
            {OF_ACCOUNT}
        )
        """
    )
    op.execute("CREATE INDEX account_factors_of ON account_factors (tenant, account)")
    op.execute(
        f"""
        CREATE TABLE recovery_codes (
            tenant text NOT NULL,
            digest bytea NOT NULL,
            account uuid NOT NULL,
            PRIMARY KEY (tenant, digest),
            {OF_ACCOUNT}
        )
        """
    )
    op.execute("CREATE INDEX recovery_codes_of ON recovery_codes (tenant, account)")
    op.execute(
        f"""
        CREATE TABLE person_keys (
            tenant text NOT NULL,
            account uuid NOT NULL,
            master text NOT NULL,
            wrapped bytea NOT NULL,
            PRIMARY KEY (tenant, account),
            {OF_ACCOUNT}
        )
        """
    )
    op.execute(
        f"""
        CREATE TABLE view_links (
            tenant text NOT NULL,
            link uuid NOT NULL,
            digest bytea NOT NULL,
            account uuid NOT NULL,
            name text NOT NULL,
            query text NOT NULL,
            made_at timestamptz NOT NULL,
            expires_at timestamptz NOT NULL,
            used_at timestamptz,
            PRIMARY KEY (tenant, link),
            UNIQUE (tenant, digest),
            {OF_ACCOUNT}
        )
        """
    )


def downgrade() -> None:
    for table in ("view_links", "person_keys", "recovery_codes", "account_factors"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DELETE FROM account_links WHERE account IS NOT NULL")
    op.execute("ALTER TABLE account_links DROP COLUMN account, DROP COLUMN drops_factors")
    op.execute("DELETE FROM account_sessions WHERE stage <> 'whole'")
    op.execute(
        "ALTER TABLE account_sessions DROP COLUMN stage, DROP COLUMN proved_at, DROP COLUMN challenge"
    )
