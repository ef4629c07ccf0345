"""Reviews with undo, rescan, escalation, audits and leases, and the rules' progress."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
ALTER TABLE reviews ADD COLUMN place text NOT NULL DEFAULT '',
    ADD COLUMN escalated boolean NOT NULL DEFAULT false,
    ADD COLUMN counted jsonb,
    ADD COLUMN recogniser text NOT NULL DEFAULT '',
    ADD COLUMN prior jsonb,
    DROP CONSTRAINT reviews_verdict_check,
    ADD CONSTRAINT reviews_verdict_check CHECK (verdict IN ('card', 'no_card', 'expired'));
CREATE INDEX reviews_audits ON reviews (tenant, recogniser) WHERE counted IS NOT NULL;

CREATE TABLE review_leases (
    tenant text NOT NULL,
    task uuid NOT NULL,
    holder text NOT NULL,
    token uuid NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (tenant, task)
);

-- Up to when the rules have looked at what was received.
CREATE TABLE rule_marks (
    tenant text PRIMARY KEY,
    mark timestamptz NOT NULL
);
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    message = "older reviews cannot be undone; restore a backup instead"
    raise NotImplementedError(message)
