"""Provider rates, answers and breakers, graded and held quotes, and the job queue's tables."""

from typing import Any

from alembic import op
from sqlalchemy.util import await_only

from cardmint_cloud.adapters.postgres.job_queue import library_schema

revision = "0003"
down_revision = "0002"

STATEMENTS = """
CREATE TABLE provider_rates (
    provider text PRIMARY KEY,
    tat timestamptz NOT NULL
);

CREATE TABLE provider_calls (
    provider text NOT NULL,
    day date NOT NULL,
    calls integer NOT NULL,
    budget integer NOT NULL,
    PRIMARY KEY (provider, day)
);

-- What providers answered, for all workers and tenants. `key` never has a provider's key in it.
CREATE TABLE provider_answers (
    provider text NOT NULL,
    key text NOT NULL,
    status integer NOT NULL,
    body bytea NOT NULL,
    etag text NOT NULL,
    last_modified text NOT NULL,
    checked_at timestamptz NOT NULL,
    PRIMARY KEY (provider, key)
);

CREATE TABLE provider_states (
    provider text NOT NULL,
    worker uuid NOT NULL,
    state text NOT NULL,
    since timestamptz NOT NULL,
    calls integer NOT NULL,
    failed integer NOT NULL,
    slow integer NOT NULL,
    answered bigint NOT NULL,
    cached bigint NOT NULL,
    last_error text NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (provider, worker)
);

ALTER TABLE quotes ADD COLUMN grade text NOT NULL DEFAULT '';
DROP INDEX quotes_card;
CREATE INDEX quotes_card ON quotes (tenant, card_id, finish, edition, grade, fetched_at);

-- Quotes that are far from the known ones, for a person to take or refuse.
CREATE TABLE held_quotes (
    id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    card_id text NOT NULL,
    finish text NOT NULL,
    edition text NOT NULL,
    grade text NOT NULL,
    source text NOT NULL,
    basis text NOT NULL,
    minor bigint NOT NULL,
    currency text NOT NULL,
    as_of timestamptz NOT NULL,
    fetched_at timestamptz NOT NULL,
    against_minor bigint NOT NULL,
    against_source text NOT NULL,
    against_as_of timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'taken', 'refused')),
    judged_by text NOT NULL DEFAULT '',
    judged_at timestamptz
);
CREATE UNIQUE INDEX held_quotes_open ON held_quotes (tenant, card_id, finish, edition, grade, source)
 WHERE state = 'open';
CREATE INDEX held_quotes_card ON held_quotes (tenant, card_id);
"""

# Why a job ended without success: the library keeps only that it did.
FAILURES = """
CREATE TABLE job_failures (
    job bigint PRIMARY KEY REFERENCES procrastinate_jobs ON DELETE CASCADE,
    reason text NOT NULL,
    failed_at timestamptz NOT NULL
)"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
    # The schema is one script with functions in it, which only the driver itself runs as a whole.
    driver: Any = op.get_bind().connection.driver_connection
    await_only(driver.execute(library_schema()))
    op.execute(FAILURES)


def downgrade() -> None:
    message = "older quotes have no grade; restore a backup instead"
    raise NotImplementedError(message)
