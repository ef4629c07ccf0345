"""Webhooks: where the feed is sent by HTTP, how far, by which secrets, and what came of it."""

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE webhooks (
            tenant text NOT NULL,
            webhook uuid NOT NULL,
            url text NOT NULL,
            kinds text[] NOT NULL,
            made_at timestamptz NOT NULL,
            next bigint NOT NULL,
            failures integer NOT NULL DEFAULT 0,
            failed_at timestamptz,
            due_at timestamptz NOT NULL,
            off text NOT NULL DEFAULT '',
            leased_until timestamptz,
            PRIMARY KEY (tenant, webhook)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE webhook_secrets (
            tenant text NOT NULL,
            secret uuid NOT NULL,
            webhook uuid NOT NULL,
            master text NOT NULL,
            wrapped bytea NOT NULL,
            made_at timestamptz NOT NULL,
            ends_at timestamptz,
            PRIMARY KEY (tenant, secret),
            FOREIGN KEY (tenant, webhook) REFERENCES webhooks (tenant, webhook) ON DELETE CASCADE
        )
        """
    )
    op.execute(
        """
        CREATE TABLE webhook_deliveries (
            tenant text NOT NULL,
            id bigserial NOT NULL,
            webhook uuid NOT NULL,
            number bigint NOT NULL,
            type text NOT NULL,
            sent_at timestamptz NOT NULL,
            milliseconds integer NOT NULL,
            status integer NOT NULL,
            answer text NOT NULL,
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, webhook) REFERENCES webhooks (tenant, webhook) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX webhook_secrets_of ON webhook_secrets (tenant, webhook)")
    op.execute("CREATE INDEX webhook_deliveries_of ON webhook_deliveries (tenant, webhook, id)")


def downgrade() -> None:
    op.execute("DROP TABLE webhook_deliveries")
    op.execute("DROP TABLE webhook_secrets")
    op.execute("DROP TABLE webhooks")
