"""The tables as SQLAlchemy objects, for queries.

The migrations create the tables; a test compares both. Every table begins with its tenant, except
those that divide work among workers. Text that is left open is empty, not NULL, so that it can be
part of a key.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()
Moment = DateTime(timezone=True)
_EMPTY = text("''")


def _tenant() -> Column[str]:
    return Column("tenant", Text, nullable=False)


def _reach() -> tuple[Column[Any], ...]:
    """Return the columns that limit somebody to stations and lots; empty ones do not."""
    return tuple(
        Column(name, ARRAY(Text), nullable=False, server_default=text("'{}'"))
        for name in ("stations", "lots")
    )


def _of_account() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant", "account"], ["accounts.tenant", "accounts.account"], ondelete="CASCADE"
    )


def _of_webhook() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant", "webhook"], ["webhooks.tenant", "webhooks.webhook"], ondelete="CASCADE"
    )


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=_EMPTY)


stations = Table(
    "stations",
    metadata,
    _tenant(),
    Column("station", Text, nullable=False),
    Column("online", Boolean, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("bootid", Uuid, nullable=False),
    Column("stream", Uuid, nullable=False),
    Column("version", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("health", JSONB),
    Column("health_at", Moment),
    Column("reported", JSONB),
    Column("reported_at", Moment),
    Column("other_bootid", Uuid),
    Column("twins_at", Moment),
    PrimaryKeyConstraint("tenant", "station"),
)

fleet_artifacts = Table(
    "fleet_artifacts",
    metadata,
    _tenant(),
    Column("artifact", Text, nullable=False),
    Column("manifest", JSONB, nullable=False),
    Column("published_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "artifact"),
)

desired_configs = Table(
    "desired_configs",
    metadata,
    _tenant(),
    Column("station", Text, nullable=False),
    Column("desired", JSONB, nullable=False),
    Column("desired_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "station"),
)

watermarks = Table(
    "watermarks",
    metadata,
    _tenant(),
    Column("source", Text, nullable=False),
    Column("stream", Uuid, nullable=False),
    Column("sequence", BigInteger, nullable=False, server_default=text("0")),
    Column("updated_at", Moment, nullable=False),
    Column("digest", LargeBinary),
    PrimaryKeyConstraint("tenant", "stream"),
)

moved_events = Table(
    "moved_events",
    metadata,
    _tenant(),
    Column("stream", Uuid, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "stream", "sequence", "sha256"),
)

database_identity = Table(
    "database_identity",
    metadata,
    Column("only_row", Boolean, primary_key=True),
    Column("id", Uuid, nullable=False),
    Column("replaces", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
)

events = Table(
    "events",
    metadata,
    _tenant(),
    Column("stream", Uuid, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column(
        "position",
        BigInteger,
        nullable=False,
        server_default=text("nextval('event_positions'::regclass)"),
    ),
    Column("source", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Uuid),
    Column("occurred_at", Moment, nullable=False),
    Column("bootid", Uuid, nullable=False),
    Column("monotonic_ms", BigInteger, nullable=False),
    Column("clock_synced", Boolean, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "stream", "sequence", "received_at"),
    postgresql_partition_by="RANGE (received_at)",
)

retired_months = Table(
    "retired_months",
    metadata,
    Column("month", Date, primary_key=True),
    Column("file", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("retired_at", Moment, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("worker", Uuid, primary_key=True),
    Column("seen_at", Moment, nullable=False),
)

slot_leases = Table(
    "slot_leases",
    metadata,
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("worker", Uuid),
    Column("since", Moment),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, autoincrement=True, nullable=False),
    _tenant(),
    Column("station", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("stream", Uuid),
    Column("first", BigInteger),
    Column("last", BigInteger),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("times", Integer, nullable=False, server_default=text("1")),
    Column("first_at", Moment, nullable=False),
    Column("last_at", Moment, nullable=False),
    UniqueConstraint("tenant", "station", "sha256"),
    PrimaryKeyConstraint("tenant", "id"),
)

items = Table(
    "items",
    metadata,
    _tenant(),
    Column("item", Uuid, nullable=False),
    Column("station", Text, nullable=False),
    Column("captured_at", Moment, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("status", Text, nullable=False),
    _text("card_id"),
    _text("language"),
    _text("finish"),
    _text("edition"),
    _text("condition"),
    _text("bin"),
    _text("lot"),
    Column("confidence", Float, nullable=False),
    Column("margin", Float, nullable=False),
    _text("image"),
    Column("version", Integer, nullable=False),
    _text("note"),
    Column("stock", Text, nullable=False, server_default="in-stock"),
    Column("paid_minor", BigInteger),
    _text("paid_currency"),
    _text("grader"),
    _text("grade"),
    _text("certificate"),
    Column("changes", ARRAY(Uuid), nullable=False, server_default=text("'{}'")),
    Column(
        "written",
        Text,
        Computed(r"cardmint_folded(bin || E'\n' || lot || E'\n' || note)"),
        nullable=False,
    ),
    PrimaryKeyConstraint("tenant", "item"),
    postgresql_partition_by="HASH (tenant)",
)

printings = Table(
    "printings",
    metadata,
    _tenant(),
    Column("card_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("set_id", Text, nullable=False),
    Column("set_name", Text, nullable=False),
    _text("words"),
    PrimaryKeyConstraint("tenant", "card_id"),
)

holdings = Table(
    "holdings",
    metadata,
    _tenant(),
    Column("card_id", Text, nullable=False),
    _text("language"),
    _text("finish"),
    _text("edition"),
    _text("condition"),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "card_id", "language", "finish", "edition", "condition"),
)

reviews = Table(
    "reviews",
    metadata,
    _tenant(),
    Column("task", Uuid, nullable=False),
    Column("item", Uuid, nullable=False),
    Column("station", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reasons", ARRAY(Text), nullable=False),
    Column("candidates", JSONB, nullable=False),
    Column("image", JSONB),
    Column("opened_at", Moment, nullable=False),
    Column("closed_at", Moment),
    Column("verdict", Text),
    Column("card", JSONB),
    _text("answered_by"),
    Column("published_version", Integer, nullable=False, server_default=text("0")),
    _text("place"),
    Column("escalated", Boolean, nullable=False, server_default=text("false")),
    Column("counted", JSONB),
    _text("recogniser"),
    Column("prior", JSONB),
    Column("question", Text, nullable=False, server_default=text("'printing'")),
    PrimaryKeyConstraint("tenant", "task"),
)

review_leases = Table(
    "review_leases",
    metadata,
    _tenant(),
    Column("task", Uuid, nullable=False),
    Column("holder", Text, nullable=False),
    Column("token", Uuid, nullable=False),
    Column("until", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "task"),
)

rule_marks = Table(
    "rule_marks",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("mark", Moment, nullable=False),
)

price_checks = Table(
    "price_checks",
    metadata,
    _tenant(),
    Column("card_id", Text, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    _text("error"),
    PrimaryKeyConstraint("tenant", "card_id"),
)

quotes = Table(
    "quotes",
    metadata,
    Column("id", BigInteger, autoincrement=True, nullable=False),
    _tenant(),
    Column("card_id", Text, nullable=False),
    Column("finish", Text, nullable=False),
    Column("edition", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("as_of", Moment, nullable=False),
    Column("fetched_at", Moment, nullable=False),
    _text("grade"),
    PrimaryKeyConstraint("tenant", "id"),
)

held_quotes = Table(
    "held_quotes",
    metadata,
    Column("id", BigInteger, autoincrement=True, nullable=False),
    _tenant(),
    Column("card_id", Text, nullable=False),
    Column("finish", Text, nullable=False),
    Column("edition", Text, nullable=False),
    Column("grade", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("as_of", Moment, nullable=False),
    Column("fetched_at", Moment, nullable=False),
    Column("against_minor", BigInteger, nullable=False),
    Column("against_source", Text, nullable=False),
    Column("against_as_of", Moment, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    _text("judged_by"),
    Column("judged_at", Moment),
    PrimaryKeyConstraint("tenant", "id"),
)

provider_rates = Table(
    "provider_rates",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("tat", Moment, nullable=False),
)

provider_gates = Table(
    "provider_gates",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("until", Moment, nullable=False),
)

provider_calls = Table(
    "provider_calls",
    metadata,
    Column("provider", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("budget", Integer, nullable=False),
    PrimaryKeyConstraint("provider", "day"),
)

provider_answers = Table(
    "provider_answers",
    metadata,
    Column("provider", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("etag", Text, nullable=False),
    Column("last_modified", Text, nullable=False),
    Column("checked_at", Moment, nullable=False),
    PrimaryKeyConstraint("provider", "key"),
)

provider_states = Table(
    "provider_states",
    metadata,
    Column("provider", Text, nullable=False),
    Column("worker", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("since", Moment, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("slow", Integer, nullable=False),
    Column("answered", BigInteger, nullable=False),
    Column("cached", BigInteger, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("judged", Integer, nullable=False, server_default=text("0")),
    Column("unpriced", Integer, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("provider", "worker"),
)

job_failures = Table(
    "job_failures",
    metadata,
    Column("job", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("failed_at", Moment, nullable=False),
)

current_quotes = Table(
    "current_quotes",
    metadata,
    _tenant(),
    Column("card_id", Text, nullable=False),
    Column("finish", Text, nullable=False),
    Column("edition", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("basis", Text, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("as_of", Moment, nullable=False),
    Column("fetched_at", Moment, nullable=False),
    Column("lowest", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant", "card_id", "finish", "edition"),
)

catalogue_imports = Table(
    "catalogue_imports",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("imported_at", Moment, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("source", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("sets", Integer, nullable=False),
    Column("printings", Integer, nullable=False),
)

catalogue_sets = Table(
    "catalogue_sets",
    metadata,
    Column("set_id", Text, primary_key=True),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("names", JSONB, nullable=False),
    Column("code", Text, nullable=False),
    Column("official", Integer, nullable=False),
    Column("released", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("tcgdex", Text, nullable=False),
    Column("tcgplayer", BigInteger),
    Column("cardmarket", BigInteger),
    Column("printings", Integer, nullable=False),
    Column("digest", Text, nullable=False),
)

catalogue_printings = Table(
    "catalogue_printings",
    metadata,
    Column("card_id", Text, primary_key=True),
    Column("set_id", Text, nullable=False),
    Column("place", Integer, nullable=False),
    Column("number", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("finishes", ARRAY(Text), nullable=False),
    Column("facts", JSONB, nullable=False),
)

Index("catalogue_printings_set", catalogue_printings.c.set_id, catalogue_printings.c.place)
for _market in ("tcgplayer", "cardmarket"):
    Index(
        f"catalogue_printings_{_market}",
        text(f"jsonb_path_query_array(facts, '$.**.{_market}')"),
        postgresql_using="gin",
        _table=catalogue_printings,
    )

Index("events_subject", events.c.tenant, events.c.subject)
Index(
    "events_evicted",
    events.c.tenant,
    events.c.source,
    postgresql_where=text("type LIKE 'cardmint.image.evicted.v%'"),
)
Index(
    "events_items_changed",
    events.c.tenant,
    events.c.position,
    postgresql_where=text("type LIKE 'cardmint.items.changed.v%'"),
)
Index(
    "events_items_added",
    events.c.tenant,
    events.c.position,
    postgresql_where=text("type LIKE 'cardmint.items.added.v%'"),
)
Index("printings_set", printings.c.tenant, printings.c.set_id)
Index("printings_name", printings.c.tenant, func.lower(printings.c.name))
accounts = Table(
    "accounts",
    metadata,
    _tenant(),
    Column("account", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("folded", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("made_at", Moment, nullable=False),
    *_reach(),
    PrimaryKeyConstraint("tenant", "account"),
    UniqueConstraint("tenant", "folded"),
)
account_sessions = Table(
    "account_sessions",
    metadata,
    _tenant(),
    Column("digest", LargeBinary, nullable=False),
    Column("account", Uuid, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("began_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("stage", Text, nullable=False, server_default=text("'whole'")),
    Column("proved_at", Moment),
    Column("challenge", LargeBinary),
    Column("personal", LargeBinary),
    PrimaryKeyConstraint("tenant", "digest"),
    _of_account(),
)
account_links = Table(
    "account_links",
    metadata,
    _tenant(),
    Column("digest", LargeBinary, nullable=False),
    Column("role", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("account", Uuid),
    Column("drops_factors", Boolean, nullable=False, server_default=text("false")),
    Column("made_by", Uuid),
    *_reach(),
    PrimaryKeyConstraint("tenant", "digest"),
    _of_account(),
)
account_factors = Table(
    "account_factors",
    metadata,
    _tenant(),
    Column("factor", Uuid, nullable=False),
    Column("account", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("credential", LargeBinary),
    Column("counter", BigInteger, nullable=False, server_default=text("0")),
    Column("confirmed", Boolean, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("used_at", Moment),
    PrimaryKeyConstraint("tenant", "factor"),
    UniqueConstraint("tenant", "credential"),
    _of_account(),
)
account_identities = Table(
    "account_identities",
    metadata,
    _tenant(),
    Column("identity", LargeBinary, nullable=False),
    Column("account", Uuid, nullable=False),
    Column("made_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "identity"),
    UniqueConstraint("tenant", "account"),
    _of_account(),
)
passkey_challenges = Table(
    "passkey_challenges",
    metadata,
    _tenant(),
    Column("challenge", LargeBinary, nullable=False),
    Column("expires_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "challenge"),
)
recovery_codes = Table(
    "recovery_codes",
    metadata,
    _tenant(),
    Column("digest", LargeBinary, nullable=False),
    Column("account", Uuid, nullable=False),
    PrimaryKeyConstraint("tenant", "digest"),
    _of_account(),
)
person_keys = Table(
    "person_keys",
    metadata,
    _tenant(),
    Column("account", Uuid, nullable=False),
    Column("master", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "account"),
    _of_account(),
)
saved_views = Table(
    "saved_views",
    metadata,
    _tenant(),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
)
market_listings = Table(
    "market_listings",
    metadata,
    _tenant(),
    Column("market", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("card_id", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("finish", Text, nullable=False),
    Column("edition", Text, nullable=False),
    Column("condition", Text, nullable=False),
    Column("cells", JSONB, nullable=False),
    Column("listed", Integer, nullable=False),
    Column("price_minor", BigInteger),
    Column("price_currency", Text, nullable=False),
    Column("seen_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "market", "sku"),
)
market_files = Table(
    "market_files",
    metadata,
    _tenant(),
    Column("file", Uuid, nullable=False),
    Column("market", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("taken_back_at", Moment),
    PrimaryKeyConstraint("tenant", "file"),
)
market_file_rows = Table(
    "market_file_rows",
    metadata,
    _tenant(),
    Column("file", Uuid, nullable=False),
    Column("sku", Text, nullable=False),
    Column("listed", Integer, nullable=False),
    Column("delta", Integer, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("price_currency", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "file", "sku"),
    ForeignKeyConstraint(
        ["tenant", "file"], ["market_files.tenant", "market_files.file"], ondelete="CASCADE"
    ),
)
market_sales = Table(
    "market_sales",
    metadata,
    _tenant(),
    Column("market", Text, nullable=False),
    Column("order_number", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("change", Uuid, nullable=False),
    Column("items", ARRAY(Uuid), nullable=False),
    Column("taken_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "market", "order_number", "sku", "change"),
)
view_links = Table(
    "view_links",
    metadata,
    _tenant(),
    Column("link", Uuid, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("account", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("used_at", Moment),
    PrimaryKeyConstraint("tenant", "link"),
    UniqueConstraint("tenant", "digest"),
    _of_account(),
)
station_codes = Table(
    "station_codes",
    metadata,
    _tenant(),
    Column("digest", LargeBinary, nullable=False),
    Column("station", Text, nullable=False),
    Column("expires_at", Moment, nullable=False),
    PrimaryKeyConstraint("tenant", "digest"),
)
audit_entries = Table(
    "audit_entries",
    metadata,
    _tenant(),
    Column("number", BigInteger, nullable=False, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("entry", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "number"),
)
access_tokens = Table(
    "access_tokens",
    metadata,
    _tenant(),
    Column("digest", LargeBinary, nullable=False),
    Column("name", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("used_at", Moment),
    Column("expires_at", Moment),
    Column("origins", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    Column("per_minute", Integer),
    *_reach(),
    PrimaryKeyConstraint("tenant", "digest"),
    UniqueConstraint("tenant", "name"),
)
feeds = Table(
    "feeds",
    metadata,
    _tenant(),
    Column("stream", Uuid, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("numbered", BigInteger, nullable=False, server_default=text("0")),
    Column("published", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("tenant"),
)
feed_runs = Table(
    "feed_runs",
    metadata,
    _tenant(),
    Column("id", BigInteger, autoincrement=True, nullable=False),
    Column("written_at", Moment, nullable=False),
    Column("count", Integer, nullable=False),
    Column("entries", LargeBinary, nullable=False),
    Column("first", BigInteger),
    PrimaryKeyConstraint("tenant", "id"),
)
webhooks = Table(
    "webhooks",
    metadata,
    _tenant(),
    Column("webhook", Uuid, nullable=False),
    Column("url", Text, nullable=False),
    Column("kinds", ARRAY(Text), nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("next", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("failed_at", Moment),
    Column("due_at", Moment, nullable=False),
    Column("off", Text, nullable=False, server_default=text("''")),
    Column("leased_until", Moment),
    PrimaryKeyConstraint("tenant", "webhook"),
)
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    _tenant(),
    Column("secret", Uuid, nullable=False),
    Column("webhook", Uuid, nullable=False),
    Column("master", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("ends_at", Moment),
    PrimaryKeyConstraint("tenant", "secret"),
    _of_webhook(),
)
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    _tenant(),
    Column("id", BigInteger, autoincrement=True, nullable=False),
    Column("webhook", Uuid, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("sent_at", Moment, nullable=False),
    Column("milliseconds", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    _of_webhook(),
)
Index(
    "market_sales_of",
    market_sales.c.tenant,
    market_sales.c.market,
    market_sales.c.sku,
    market_sales.c.taken_at,
)
Index("webhook_secrets_of", webhook_secrets.c.tenant, webhook_secrets.c.webhook)
Index(
    "webhook_deliveries_of",
    webhook_deliveries.c.tenant,
    webhook_deliveries.c.webhook,
    webhook_deliveries.c.id,
)
Index("account_sessions_of", account_sessions.c.tenant, account_sessions.c.account)
Index("account_factors_of", account_factors.c.tenant, account_factors.c.account)
Index("recovery_codes_of", recovery_codes.c.tenant, recovery_codes.c.account)
Index("items_received", items.c.tenant, items.c.received_at, items.c.item)
Index("items_card", items.c.tenant, items.c.card_id, items.c.captured_at.desc())
Index(
    "reviews_open", reviews.c.tenant, reviews.c.opened_at, postgresql_where=text("state = 'open'")
)
Index("reviews_item", reviews.c.tenant, reviews.c.item)
Index(
    "reviews_unpublished",
    reviews.c.tenant,
    reviews.c.station,
    postgresql_where=text("published_version < version"),
)
Index(
    "reviews_audits",
    reviews.c.tenant,
    reviews.c.recogniser,
    postgresql_where=text("counted IS NOT NULL"),
)
Index("price_checks_due", price_checks.c.tenant, price_checks.c.due_at)
Index(
    "quotes_card",
    quotes.c.tenant,
    quotes.c.card_id,
    quotes.c.finish,
    quotes.c.edition,
    quotes.c.grade,
    quotes.c.fetched_at,
)
Index("held_quotes_card", held_quotes.c.tenant, held_quotes.c.card_id)
Index(
    "held_quotes_open",
    held_quotes.c.tenant,
    held_quotes.c.card_id,
    held_quotes.c.finish,
    held_quotes.c.edition,
    held_quotes.c.grade,
    held_quotes.c.source,
    unique=True,
    postgresql_where=text("state = 'open'"),
)
Index(
    "feed_runs_first",
    feed_runs.c.tenant,
    feed_runs.c.first,
    unique=True,
    postgresql_where=text("first IS NOT NULL"),
)
Index(
    "feed_runs_new",
    feed_runs.c.tenant,
    feed_runs.c.id,
    postgresql_where=text("first IS NULL"),
)
