"""Stations, event log, dead letters, inventory, reviews and prices, each with its tenant."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = """
CREATE TABLE stations (
    tenant text NOT NULL,
    station text NOT NULL,
    online boolean NOT NULL,
    epoch bigint NOT NULL,
    bootid uuid NOT NULL,
    stream uuid NOT NULL,
    version text NOT NULL,
    since timestamptz NOT NULL,
    health jsonb,
    health_at timestamptz,
    PRIMARY KEY (tenant, station)
);

-- One row a stream: everything up to `sequence` is committed. The row is also ingest's lock.
CREATE TABLE watermarks (
    tenant text NOT NULL,
    source text NOT NULL,
    stream uuid NOT NULL,
    sequence bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, stream)
);

-- Which worker ingests for which stations: others take the slots of a silent one.
CREATE TABLE workers (
    worker uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
CREATE TABLE leases (
    slot integer PRIMARY KEY,
    worker uuid,
    since timestamptz
);

-- The order in which events that touch the same item were applied, which a rebuild follows.
CREATE SEQUENCE event_positions;

CREATE TABLE events (
    tenant text NOT NULL,
    stream uuid NOT NULL,
    sequence bigint NOT NULL,
    received_at timestamptz NOT NULL,
    position bigint NOT NULL DEFAULT nextval('event_positions'),
    source text NOT NULL,
    type text NOT NULL,
    subject uuid,
    occurred_at timestamptz NOT NULL,
    bootid uuid NOT NULL,
    monotonic_ms bigint NOT NULL,
    clock_synced boolean NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (tenant, stream, sequence, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX events_subject ON events (tenant, subject);
ALTER SEQUENCE event_positions OWNED BY events.position;

CREATE TABLE dead_letters (
    id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    station text NOT NULL,
    topic text NOT NULL,
    stream uuid,
    first bigint,
    last bigint,
    reason text NOT NULL,
    detail text NOT NULL,
    content_type text NOT NULL,
    payload bytea NOT NULL,
    sha256 text NOT NULL,
    times integer NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    UNIQUE (tenant, station, sha256)
);

CREATE TABLE items (
    tenant text NOT NULL,
    item uuid NOT NULL,
    station text NOT NULL,
    captured_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('counted', 'review', 'rejected')),
    card_id text NOT NULL DEFAULT '',
    name text NOT NULL DEFAULT '',
    number text NOT NULL DEFAULT '',
    set_id text NOT NULL DEFAULT '',
    set_name text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT '',
    finish text NOT NULL DEFAULT '',
    edition text NOT NULL DEFAULT '',
    condition text NOT NULL DEFAULT '',
    bin text NOT NULL DEFAULT '',
    lot text NOT NULL DEFAULT '',
    confidence double precision NOT NULL,
    margin double precision NOT NULL,
    reasons text[] NOT NULL,
    candidates jsonb NOT NULL,
    image text NOT NULL DEFAULT '',
    version integer NOT NULL,
    PRIMARY KEY (tenant, item)
);
CREATE INDEX items_newest ON items (tenant, captured_at DESC, item);
CREATE INDEX items_received ON items (tenant, received_at, item);
CREATE INDEX items_card ON items (tenant, card_id, captured_at DESC);

CREATE TABLE printings (
    tenant text NOT NULL,
    card_id text NOT NULL,
    name text NOT NULL,
    number text NOT NULL,
    set_id text NOT NULL,
    set_name text NOT NULL,
    PRIMARY KEY (tenant, card_id)
);

CREATE TABLE holdings (
    tenant text NOT NULL,
    card_id text NOT NULL,
    language text NOT NULL DEFAULT '',
    finish text NOT NULL DEFAULT '',
    edition text NOT NULL DEFAULT '',
    condition text NOT NULL DEFAULT '',
    count bigint NOT NULL,
    PRIMARY KEY (tenant, card_id, language, finish, edition, condition)
);

CREATE TABLE reviews (
    tenant text NOT NULL,
    task uuid NOT NULL,
    item uuid NOT NULL,
    station text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'answered')),
    reasons text[] NOT NULL,
    candidates jsonb NOT NULL,
    image jsonb,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    verdict text CHECK (verdict IN ('card', 'no_card')),
    card jsonb,
    answered_by text NOT NULL DEFAULT '',
    published_version integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, task)
);
CREATE INDEX reviews_open ON reviews (tenant, opened_at) WHERE state = 'open';
CREATE INDEX reviews_item ON reviews (tenant, item);
CREATE INDEX reviews_unpublished ON reviews (tenant, station) WHERE published_version < version;

CREATE TABLE price_checks (
    tenant text NOT NULL,
    card_id text NOT NULL,
    due_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant, card_id)
);
CREATE INDEX price_checks_due ON price_checks (due_at);

-- What the provider said, whenever it said something else than before.
CREATE TABLE quotes (
    id bigserial PRIMARY KEY,
    tenant text NOT NULL,
    card_id text NOT NULL,
    finish text NOT NULL,
    edition text NOT NULL,
    source text NOT NULL,
    basis text NOT NULL,
    minor bigint NOT NULL CHECK (minor >= 0),
    currency text NOT NULL,
    as_of timestamptz NOT NULL,
    fetched_at timestamptz NOT NULL
);
CREATE INDEX quotes_card ON quotes (tenant, card_id, finish, edition, fetched_at);

-- The current price of each description of a card; `lowest` when the description is open.
CREATE TABLE current_quotes (
    tenant text NOT NULL,
    card_id text NOT NULL,
    finish text NOT NULL,
    edition text NOT NULL,
    source text NOT NULL,
    basis text NOT NULL,
    minor bigint NOT NULL CHECK (minor >= 0),
    currency text NOT NULL,
    as_of timestamptz NOT NULL,
    fetched_at timestamptz NOT NULL,
    lowest boolean NOT NULL,
    PRIMARY KEY (tenant, card_id, finish, edition)
);
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    message = "the first migration has nothing before it; drop the database instead"
    raise NotImplementedError(message)
