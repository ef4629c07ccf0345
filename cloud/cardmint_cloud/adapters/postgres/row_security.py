"""Row-level security: which tables belong to tenants, and what the service may do with each.

One generator makes policies and grants from the two lists of this module, after every migration;
a table that is in neither list fails a test. The policies know three users:

- the **service** (worker and dashboard), which sees and writes the rows of the tenant that its
  transaction names (`connection.tenant_transaction`), and no rows without one;
- the **owner** of the tables (`cardmint-cloud migrate`, `rebuild`, `backup`), which sees all rows
  once it says so (`cardmint.tenant` is `*`), because FORCE holds it to the policies, too;
- a **superuser**, whom Postgres holds to nothing. No service connects as one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from cardmint_cloud.adapters.postgres import job_queue
from cardmint_cloud.adapters.postgres.address import DatabaseAddress
from cardmint_cloud.errors import StopService

ALL_TENANTS = "*"
"""The tenant by which the tables' owner sees the rows of all; for anybody else it is none."""

READ, ADD, CHANGE, ANY = (
    ("SELECT",),
    ("SELECT", "INSERT"),
    ("SELECT", "INSERT", "UPDATE"),
    ("SELECT", "INSERT", "UPDATE", "DELETE"),
)

TENANT_TABLES: dict[str, tuple[str, ...]] = {
    "access_tokens": ANY,
    "account_factors": ANY,
    "account_identities": ANY,
    "account_links": ANY,
    "account_sessions": ANY,
    "accounts": CHANGE,
    "audit_entries": ADD,
    "current_quotes": CHANGE,
    "dead_letters": ANY,
    "desired_configs": CHANGE,
    "events": READ,
    "feed_runs": ANY,
    "feeds": CHANGE,
    "fleet_artifacts": CHANGE,
    "held_quotes": ANY,
    "holdings": CHANGE,
    "items": ("SELECT", "UPDATE"),
    "market_file_rows": ANY,
    "market_files": ANY,
    "market_listings": ANY,
    "market_sales": ANY,
    "moved_events": ADD,
    "passkey_challenges": ("SELECT", "INSERT", "DELETE"),
    "person_keys": ANY,
    "price_checks": CHANGE,
    "printings": ADD,
    "quotes": ADD,
    "recovery_codes": ANY,
    "review_leases": ANY,
    "reviews": CHANGE,
    "rule_marks": CHANGE,
    "saved_views": ANY,
    "station_codes": ANY,
    "stations": CHANGE,
    "view_links": ANY,
    "watermarks": CHANGE,
    "webhook_deliveries": ANY,
    "webhook_secrets": ANY,
    "webhooks": ANY,
}
"""Tables with policies, and what the service may do there. Into `COPIED` it copies besides."""

COPIED = ("events", "items")
"""Tables whose partitions take COPY, which no table with a policy does.

The service may insert there and not read, and a check holds each row to its transaction's tenant.
"""

SHARED_TABLES: dict[str, tuple[str, ...]] = {
    "alembic_version": READ,
    "catalogue_imports": READ,
    "catalogue_printings": READ,
    "catalogue_sets": READ,
    "database_identity": READ,
    "job_failures": ANY,
    **dict.fromkeys(job_queue.TABLES, ANY),
    "provider_answers": ANY,
    "provider_calls": ANY,
    "provider_gates": ANY,
    "provider_rates": ANY,
    "provider_states": ANY,
    "retired_months": READ,
    "slot_leases": CHANGE,
    "workers": ANY,
}
"""Tables without a tenant: the catalogue, the state of providers and workers, and the job queue,
whose library knows no tenants; a job names its tenant, and the dashboard asks for its own."""

FUNCTIONS = (
    "across_due(timestamptz)",
    "across_feeds()",
    "across_fleets()",
    "across_streams()",
    "across_tenants()",
    "across_unpublished(integer[], integer)",
    "make_log_month(date)",
)
"""Functions that run with the owner's rights: the only way of the service past a policy."""

_NAMED = "tenant = (SELECT nullif(current_setting('cardmint.tenant', true), ''))"
"""A sub-select, which Postgres evaluates once a statement, and an equality.

Where a statement names its tenant, too, both become one test before the scan, which costs no row.
"""

_ALL = f"(SELECT current_setting('cardmint.tenant', true) = '{ALL_TENANTS}')"

POLICIES = {
    "tenant_rows": "AS PERMISSIVE FOR ALL TO {service} USING (true) WITH CHECK (true)",
    "tenant_isolation": f"AS RESTRICTIVE FOR ALL TO {{service}} USING ({_NAMED})"
    f" WITH CHECK ({_NAMED})",
    "owner_rows": f"AS PERMISSIVE FOR ALL TO {{owner}} USING ({_ALL}) WITH CHECK ({_ALL})",
}
"""The policies of every table. Permissive ones are OR-ed, so that one more opens more; a
restrictive one stays closed. Any other user has no permissive one, and sees nothing."""

REACH = "reach_rows"
"""The policy of the tables in `REACHED`."""

_ANYWHERE = "(SELECT coalesce(current_setting('cardmint.reach', true), '') = '')"
_REACH = "CAST(nullif(current_setting('cardmint.reach', true), '') AS jsonb)"
"""Read for each row, and only for who is limited: a sub-select is prepared for each statement."""

REACHED: dict[str, str] = {
    "dead_letters": "false",
    "events": "cardmint_reaches_event(subject)",
    "feed_runs": "false",
    "held_quotes": "false",
    "holdings": "false",
    "items": f"coalesce({_REACH} -> 'stations' ? station, true)"
    f" AND coalesce({_REACH} -> 'lots' ? lot, true)",
    "moved_events": "false",
    "printings": "cardmint_reaches_printing(card_id)",
    "reviews": "cardmint_reaches_item(item)",
    "stations": "false",
}
"""Which rows of a table somebody sees who is limited to stations or lots (`domain.reach`).

Such a transaction names its reach besides its tenant; any other pays one test of a parameter a row.
"""


def policies_of(table: str) -> dict[str, str]:
    """Return the policies of a table, with `{service}` and `{owner}` in place of users."""
    if table not in REACHED:
        return POLICIES
    seen = f"{_ANYWHERE} OR ({REACHED[table]})"
    return {**POLICIES, REACH: f"AS RESTRICTIVE FOR SELECT TO {{service}} USING ({seen})"}


_PLANNER = "random_page_cost = 1.1"
"""A page of an index costs about as much as any other on a solid-state disk; at Postgres's default
of 4, a set's lines were found by reading every line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceLogin:
    """The user as which worker and dashboard connect."""

    name: str
    password: str

    @classmethod
    def of(cls, address: DatabaseAddress) -> "ServiceLogin":
        """Return the user of an address."""
        return cls(name=address.user, password=address.password)


def secure(connection: Connection, login: ServiceLogin) -> None:
    """Make the policies that are missing or old, the service's user if need be, and its grants.

    The connection is the owner's, in a transaction.

    Raises:
        StopService: a table is on no list, or the service's user is the owner or is missing and may
            not be made; the message says what to do.
    """
    _check_lists(connection)
    owner = str(connection.scalar(text("SELECT current_user")))
    apart = login.name != owner
    if apart:
        _make_login(connection, login)
    service = _quoted(connection, login.name)
    owned = _quoted(connection, owner)
    for table in TENANT_TABLES:
        rules = {
            name: rule.format(service=service, owner=owned)
            for name, rule in policies_of(table).items()
            if apart or "{service}" not in rule
        }
        _make_policies(connection, table, rules)
    for statement in _grants(connection, service) if apart else ():
        connection.execute(text(statement))


def policy_statements(table: str, rules: Mapping[str, str]) -> list[str]:
    """Return the statements that put a table under policies, by name, and under no others."""
    return [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        *(f"DROP POLICY IF EXISTS {name} ON {table}" for name in (*POLICIES, REACH)),
        *(f"CREATE POLICY {name} ON {table} {rule}" for name, rule in rules.items()),
        *(f"COMMENT ON POLICY {name} ON {table} IS '{_digest(of)}'" for name, of in rules.items()),
    ]


def _digest(rule: str) -> str:
    return hashlib.sha256(rule.encode()).hexdigest()[:16]


_FOUND = text(
    """
SELECT p.polname, obj_description(p.oid, 'pg_policy')
  FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid
 WHERE c.oid = to_regclass(:table) AND c.relrowsecurity AND c.relforcerowsecurity"""
)


def _make_policies(connection: Connection, table: str, rules: Mapping[str, str]) -> None:
    """Put a table under the policies; one that has them is not locked."""
    found = {row[0]: row[1] for row in connection.execute(_FOUND, {"table": table})}
    if found != {name: _digest(rule) for name, rule in rules.items()}:
        for statement in policy_statements(table, rules):
            connection.execute(text(statement))


def _check_lists(connection: Connection) -> None:
    query = text(
        """
    SELECT relname FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"""
    )
    unlisted = set(connection.scalars(query)) - {*TENANT_TABLES, *SHARED_TABLES}
    if unlisted:
        raise StopService(
            f"tables {', '.join(sorted(unlisted))}: not CardMint's, or on neither list of"
            " row_security; a database of CardMint has no other tables in its schema `public`"
        )


def _make_login(connection: Connection, login: ServiceLogin) -> None:
    """Make the service's user, or give it the password of the settings, as far as that is ours."""
    find = text("SELECT true FROM pg_roles WHERE rolname = :name")
    known = connection.scalar(find, {"name": login.name})
    may = text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    if not connection.scalar(may):
        if known:
            return
        raise StopService(
            f"there is no database user {login.name}, and this one may not make it: make it, then"
            " run `cardmint-cloud migrate` again"
        )
    quoted = _quoted(connection, login.name)
    password = connection.scalar(text("SELECT quote_literal(:text)"), {"text": login.password})
    verb = "ALTER" if known else "CREATE"
    connection.exec_driver_sql(f"{verb} ROLE {quoted} LOGIN PASSWORD {password}")
    connection.exec_driver_sql(f"ALTER ROLE {quoted} SET {_PLANNER}")


def _grants(connection: Connection, who: str) -> list[str]:
    partitions = connection.scalars(
        text(
            """
    SELECT inhrelid::regclass::text FROM pg_inherits
     WHERE inhparent IN (SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) t (name))"""
        ),
        {"tables": list(COPIED)},
    )
    return [
        f"GRANT USAGE ON SCHEMA public TO {who}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {who}",
        *(
            f"GRANT {', '.join(rights)} ON {table} TO {who}"
            for table, rights in {**TENANT_TABLES, **SHARED_TABLES}.items()
        ),
        *(f"GRANT INSERT ON {partition} TO {who}" for partition in partitions),
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {who}",
        *(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC" for function in FUNCTIONS),
        *(f"GRANT EXECUTE ON FUNCTION {function} TO {who}" for function in FUNCTIONS),
    ]


def _quoted(connection: Connection, name: str) -> str:
    return str(connection.scalar(text("SELECT quote_ident(:name)"), {"name": name}))


_STANDING = text(
    """
SELECT r.rolsuper OR r.rolbypassrls AS passes, cardmint_owner() AS owns
  FROM pg_roles r WHERE r.rolname = current_user"""
)
_MISSING = text(
    """
SELECT t.name, p.right
  FROM unnest(CAST(:tables AS text[]), CAST(:rights AS text[])) AS w (name, rights)
       CROSS JOIN LATERAL (SELECT w.name) AS t (name)
       CROSS JOIN LATERAL unnest(string_to_array(w.rights, ',')) AS p ("right")
 WHERE NOT has_table_privilege(t.name, p.right)"""
)
_UNGUARDED = text(
    """
SELECT name FROM unnest(CAST(:tables AS text[])) AS t (name)
 WHERE NOT row_security_active(name)"""
)


def service_problem(connection: Connection) -> str | None:
    """Return why worker and dashboard may not use the database as this user; None if they may."""
    user = connection.scalar(text("SELECT current_user"))
    standing = connection.execute(_STANDING).one()
    if standing.passes or standing.owns:
        why = "owns the tables" if standing.owns and not standing.passes else "is not held to them"
        return (
            f"the policies that keep tenants apart do not hold for the user {user}, who {why}:"
            " name that user in `database_owner` and another one in `database`, and run"
            " `cardmint-cloud migrate`, which makes it"
        )
    rights = {**TENANT_TABLES, **SHARED_TABLES}
    asked = {"tables": list(rights), "rights": [",".join(one) for one in rights.values()]}
    if missing := connection.execute(_MISSING, asked).all():
        table, right = missing[0]
        return (
            f"the user {user} lacks {right} on {table} (and {len(missing) - 1} more): run"
            " `cardmint-cloud migrate`, or GRANT it"
        )
    if open_tables := list(connection.scalars(_UNGUARDED, {"tables": list(TENANT_TABLES)})):
        return f"{_listed(open_tables)} without policies of tenants: run `cardmint-cloud migrate`"
    return None


def _listed(names: Sequence[str]) -> str:
    return ("table " if len(names) == 1 else "tables ") + ", ".join(names)
