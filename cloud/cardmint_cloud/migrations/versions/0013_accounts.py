"""Accounts of people, their sessions, one-time links, and tokens of programs and stations."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE accounts (
            tenant text NOT NULL,
            account uuid NOT NULL,
            name text NOT NULL,
            folded text NOT NULL,
            role text NOT NULL CHECK (role IN ('viewer', 'operator', 'reviewer', 'admin')),
            password text NOT NULL,
            disabled boolean NOT NULL DEFAULT false,
            made_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, account),
            UNIQUE (tenant, folded)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE account_sessions (
            tenant text NOT NULL,
            digest bytea NOT NULL,
            account uuid NOT NULL,
            address text NOT NULL,
            agent text NOT NULL,
            began_at timestamptz NOT NULL,
            seen_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, digest),
            FOREIGN KEY (tenant, account) REFERENCES accounts (tenant, account) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX account_sessions_of ON account_sessions (tenant, account)")
    op.execute(
        """
        CREATE TABLE account_links (
            tenant text NOT NULL,
            digest bytea NOT NULL,
            role text NOT NULL CHECK (role IN ('viewer', 'operator', 'reviewer', 'admin')),
            expires_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, digest)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE access_tokens (
            tenant text NOT NULL,
            digest bytea NOT NULL,
            name text NOT NULL,
            scope text NOT NULL CHECK (scope IN ('station', 'read')),
            made_at timestamptz NOT NULL,
            used_at timestamptz,
            PRIMARY KEY (tenant, digest),
            UNIQUE (tenant, name)
        )
        """
    )


def downgrade() -> None:
    for table in ("access_tokens", "account_links", "account_sessions", "accounts"):
        op.execute(f"DROP TABLE {table}")
