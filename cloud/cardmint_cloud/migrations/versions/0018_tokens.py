"""Tokens that expire, with origins and a pace; codes by which stations get their credentials."""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE access_tokens
            ADD COLUMN expires_at timestamptz,
            ADD COLUMN origins text[] NOT NULL DEFAULT '{}',
            ADD COLUMN per_minute integer CHECK (per_minute > 0),
            DROP CONSTRAINT access_tokens_scope_check,
            ADD CHECK (scope IN ('station', 'read', 'metrics'))
        """
    )

    op.execute(
        """
        CREATE TABLE station_codes (
            tenant text NOT NULL,
            digest bytea NOT NULL,
            station text NOT NULL,
            expires_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, digest)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE station_codes")
    op.execute("DELETE FROM access_tokens WHERE scope = 'metrics'")
    op.execute(
        """
        ALTER TABLE access_tokens
            DROP COLUMN expires_at, DROP COLUMN origins, DROP COLUMN per_minute,
            DROP CONSTRAINT access_tokens_scope_check,
            ADD CHECK (scope IN ('station', 'read'))
        """
    )
