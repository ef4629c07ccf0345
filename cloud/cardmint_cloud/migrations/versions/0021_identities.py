"""Identities at another provider, by which people sign in."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE account_identities (
            tenant text NOT NULL,
            identity bytea NOT NULL,
            account uuid NOT NULL,
            made_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, identity),
            UNIQUE (tenant, account),
            FOREIGN KEY (tenant, account) REFERENCES accounts (tenant, account) ON DELETE CASCADE
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE account_identities")
