"""Policies of tenants, by SQL as the service: what it sees, what it may write, what is missing."""

import asyncio
import contextlib
import re
import zlib
from pathlib import Path

import asyncpg
import pytest

import cardmint_cloud
from cardmint_cloud.adapters.postgres import across
from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    PostgresConnection,
    limited_to,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.row_security import (
    COPIED,
    REACH,
    REACHED,
    SHARED_TABLES,
    TENANT_TABLES,
    policies_of,
    policy_statements,
)
from cardmint_cloud.adapters.postgres.tables import metadata
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.local.postgres import LocalPostgres, service_address
from cardmint_cloud.log_months import make_ahead
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.database import connected, pooled
from tests.cloud.kit.say import say
from tests.cloud.kit.two_tenants import OWN, THEIRS, digest_of_rows, fill_every_table

pytestmark = pytest.mark.integration

_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS guarded, c.relispartition,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant')
       AS of_tenant
  FROM pg_class c
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""
_KEYS = """
SELECT i.indexrelid::regclass::text AS name, a.attname AS first
  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
 WHERE c.relname = ANY($1)"""
_DEFINERS = """
SELECT p.oid::regprocedure::text FROM pg_proc p
 WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef ORDER BY 1"""


NOWHERE = Reach(stations=frozenset({"nowhere"}))


def rules_of(table: str) -> dict[str, str]:
    return {
        name: rule.format(service="cardmint_service", owner="cardmint")
        for name, rule in policies_of(table).items()
    }


@pytest.fixture
async def filled(pool: Pool, owner: Pool, tmp_path: Path) -> Pool:
    """A database in which two tenants have rows in every table, as the service."""
    for tenant in (OWN, THEIRS):
        await fill_every_table(pool, owner, tenant, tmp_path)
    return pool


async def check_table(pool: Pool, table: str) -> int:
    """Check one table by SQL; return the number of attempts.

    Raises:
        AssertionError: somebody's rows are seen who did not say whose, or a tenant's are not.
    """
    count = f"SELECT count(*) FROM {table}"
    async with pool.acquire() as connection:
        assert await connection.fetchval(count) == 0, f"{table}: rows are seen without a tenant"
    for nobody in ("", "*", "nobody", "%"):
        async with tenant_transaction(pool, nobody) as connection:
            seen = await connection.fetchval(count)
            assert seen == 0, f"{table}: rows are seen as {nobody!r}"
    for tenant, other in ((OWN, THEIRS), (THEIRS, OWN)):
        async with tenant_transaction(pool, tenant) as connection:
            seen = await connection.fetch(f"SELECT DISTINCT tenant FROM {table}")
            assert [row["tenant"] for row in seen] == [tenant], table
            for statement in _writes(table):
                written = await _attempt(connection, statement, other)
                assert written in {"UPDATE 0", "DELETE 0", "refused"}, f"{table}: {written}"
    if table in REACHED:
        with limited_to(NOWHERE):
            async with tenant_transaction(pool, OWN) as connection:
                seen = await connection.fetchval(count)
                assert seen == 0, f"{table}: rows are seen beyond a reach"
    return 5 + 2 * (1 + len(_writes(table))) + (table in REACHED)


def _columns(table: str) -> list[str]:
    """Return the columns that somebody writes: not those that the database computes."""
    return [column.name for column in metadata.tables[table].columns if column.computed is None]


def _writes(table: str) -> list[str]:
    rights = TENANT_TABLES[table]
    columns = _columns(table)
    of_other = "jsonb_populate_record(t, jsonb_build_object('tenant', $1::text))"
    moved = ", ".join(f"({of_other}).{name}" for name in columns)
    statements = [
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {moved} FROM {table} t LIMIT 1"
    ]
    if "UPDATE" in rights:
        statements += [
            f"UPDATE {table} SET tenant = tenant WHERE tenant = $1",
            f"UPDATE {table} SET tenant = $1",
        ]
    if "DELETE" in rights:
        statements.append(f"DELETE FROM {table} WHERE tenant = $1")
    return statements


async def _attempt(connection: PostgresConnection, statement: str, tenant: str) -> str:
    try:
        async with connection.transaction():
            return await connection.execute(statement, tenant)
    except asyncpg.InsufficientPrivilegeError:
        return "refused"


async def test_every_table_is_on_one_list(owner: Pool) -> None:
    tables = [row for row in await owner.fetch(_TABLES) if not row["relispartition"]]
    assert {row["name"] for row in tables} == {*TENANT_TABLES, *SHARED_TABLES}
    assert not TENANT_TABLES.keys() & SHARED_TABLES.keys()
    assert {row["name"] for row in tables if row["of_tenant"]} == TENANT_TABLES.keys()
    assert {row["name"] for row in tables if row["guarded"]} == TENANT_TABLES.keys()


async def test_every_policy_is_the_generators(owner: Pool) -> None:
    found = await owner.fetch(
        "SELECT tablename, policyname, permissive, cmd, roles::text FROM pg_policies"
    )
    assert {(row["tablename"], row["policyname"]) for row in found} == {
        (table, policy) for table in TENANT_TABLES for policy in policies_of(table)
    }
    assert {(row["cmd"], row["policyname"] == REACH) for row in found} == {
        ("ALL", False),
        ("SELECT", True),
    }
    assert {(row["policyname"].partition("_")[0], row["roles"]) for row in found} == {
        ("tenant", "{cardmint_service}"),
        ("reach", "{cardmint_service}"),
        ("owner", "{cardmint}"),
    }
    closing = {"tenant_isolation", REACH}
    assert {row["permissive"] for row in found if row["policyname"] in closing} == {"RESTRICTIVE"}


async def test_the_tenant_comes_first_in_every_key_and_index(owner: Pool) -> None:
    found = await owner.fetch(_KEYS, list(TENANT_TABLES))
    assert [row["name"] for row in found if row["first"] != "tenant"] == []


async def test_only_the_listed_functions_have_the_owners_rights(owner: Pool) -> None:
    found = [row[0] for row in await owner.fetch(_DEFINERS)]
    assert found == [
        "across_due(timestamp with time zone)",
        "across_feeds()",
        "across_fleets()",
        "across_streams()",
        "across_tenants()",
        "across_unpublished(integer[],integer)",
        "make_log_month(date)",
    ]


async def test_the_service_is_held_to_the_policies(pool: Pool) -> None:
    assert await pool.fetchval("SELECT current_setting('is_superuser')") == "off"
    for table in TENANT_TABLES:
        assert await pool.fetchval(f"SELECT row_security_active('{table}')"), table
    for statement in (
        "SET ROLE cardmint",
        "ALTER TABLE items DISABLE ROW LEVEL SECURITY",
        "TRUNCATE quotes",
        "DELETE FROM events",
        "UPDATE events SET data = ''",
        "UPDATE database_identity SET id = id",
        "DELETE FROM catalogue_sets",
        "CREATE TABLE mine (tenant text)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


def test_no_module_opens_a_transaction_that_names_no_tenant() -> None:
    """But for those that need none: who forgets it gets no rows, which a test may not notice."""
    root = Path(cardmint_cloud.__file__).parent
    found = {
        f"{file.relative_to(root)}": len(calls)
        for file in root.rglob("*.py")
        if (calls := re.findall(r"engine\.(?:connect|begin)\(|\.acquire\(\)", file.read_text()))
    }
    assert found == {
        "adapters/postgres/connection.py": 1,  # tenant_transaction
        "adapters/postgres/job_queue.py": 1,  # the queue's tables are the library's
        "adapters/postgres/migrate.py": 2,
        "adapters/postgres/queries/reading.py": 2,  # and its docstring
        "ingest/leases.py": 2,
        "ingest/worker.py": 2,  # LISTEN, months
        "web/api.py": 2,  # a notification, the state of health
        "web/live.py": 1,  # LISTEN
        "web/price_pages.py": 2,  # jobs and providers
    }


async def test_no_row_is_seen_without_its_tenant(
    filled: Pool, owner: Pool, request: pytest.FixtureRequest
) -> None:
    before = await digest_of_rows(owner, THEIRS), await digest_of_rows(owner, OWN)
    attempts = sum([await check_table(filled, table) for table in TENANT_TABLES])
    assert (await digest_of_rows(owner, THEIRS), await digest_of_rows(owner, OWN)) == before
    say(
        request,
        f"{attempts} attempts by SQL at another tenant's rows of {len(TENANT_TABLES)} tables",
    )


@pytest.mark.parametrize("table", COPIED)
async def test_a_partition_takes_the_tenants_own_rows_and_shows_none(
    filled: Pool, owner: Pool, owner_database: str, table: str
) -> None:
    found = await owner.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass", table
    )
    names = [row[0] for row in found]
    counts = {name: await owner.fetchval(f"SELECT count(*) FROM {name}") for name in names}
    used = max(names, key=counts.__getitem__)
    for name in names:
        for statement in (
            f"SELECT * FROM {name}",
            f"UPDATE {name} SET tenant = tenant",
            f"DELETE FROM {name}",
            f"INSERT INTO {name} DEFAULT VALUES RETURNING tenant",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await filled.execute(statement)
    columns = _columns(table)
    row = await owner.fetchrow(f"SELECT {', '.join(columns)} FROM {used} WHERE tenant = $1", THEIRS)
    assert row is not None
    for tenant in (OWN, "", "*"):
        with pytest.raises(asyncpg.CheckViolationError, match=f"{table}_own_tenant"):
            async with tenant_transaction(filled, tenant) as connection:
                await connection.copy_records_to_table(used, records=[tuple(row)], columns=columns)
    # A worker of the version before, which connects as the owner and names no tenant.
    await owner.execute(f"DELETE FROM {table} WHERE tenant = $1", THEIRS)
    async with connected(owner_database) as earlier:
        await earlier.copy_records_to_table(table, records=[tuple(row)], columns=columns)
    assert await owner.fetchval(f"SELECT count(*) FROM {table} WHERE tenant = $1", THEIRS) == 1


@pytest.mark.parametrize("policy", ["tenant_rows", "tenant_isolation", REACH])
async def test_the_proof_fails_when_a_policy_is_missing(
    filled: Pool, owner: Pool, policy: str
) -> None:
    for table in REACHED if policy == REACH else TENANT_TABLES:
        await owner.execute(f"DROP POLICY {policy} ON {table}")
        with pytest.raises(AssertionError, match=table):
            await check_table(filled, table)
        for statement in policy_statements(table, rules_of(table)):
            await owner.execute(statement)
        await check_table(filled, table)


async def test_the_proof_fails_when_policies_are_off(filled: Pool, owner: Pool) -> None:
    for table in TENANT_TABLES:
        await owner.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        with pytest.raises(AssertionError, match=table):
            await check_table(filled, table)
        await owner.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


@pytest.mark.greenlets
async def test_an_owner_needs_no_superusers_rights(
    postgres: LocalPostgres, owner: Pool, tmp_path: Path
) -> None:
    """As on a managed Postgres, which gives nobody a superuser, and where FORCE holds the owner."""
    await owner.execute("CREATE ROLE plain_owner LOGIN PASSWORD 'cardmint' NOSUPERUSER")
    await owner.execute("CREATE DATABASE plain OWNER plain_owner")
    superusers = postgres.address.removesuffix("/cardmint") + "/plain"
    environment = {
        "CARDMINT_CLOUD_DATABASE": service_address(superusers),
        "CARDMINT_CLOUD_DATABASE_OWNER": superusers.replace("//cardmint:", "//plain_owner:"),
    }

    async def told(*words: str) -> str:
        done = await asyncio.to_thread(run_command, *words, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        await told("migrate")
        async with (
            pooled(environment["CARDMINT_CLOUD_DATABASE"], most=4) as service,
            pooled(superusers, most=2, tenant="*") as looking,
            connected(environment["CARDMINT_CLOUD_DATABASE_OWNER"]) as plain,
        ):
            async with service.acquire() as connection:
                await make_ahead(connection, NOW)
            for tenant in (OWN, THEIRS):
                await fill_every_table(service, looking, tenant, tmp_path)
            for table in TENANT_TABLES:
                await check_table(service, table)
                assert await plain.fetchval(f"SELECT count(*) FROM {table}") == 0
            assert await across.list_tenants(service) == sorted([OWN, THEIRS])
            assert "the inventory is what the log says" in await told("rebuild")
            await told("backup", str(tmp_path / "saved"))
            assert THEIRS.encode() in gzip_parts(tmp_path / "saved")
            await plain.execute("SELECT set_config('cardmint.tenant', '*', false)")
            for table in TENANT_TABLES:
                assert await plain.fetchval(f"SELECT count(DISTINCT tenant) FROM {table}") == 2
                await plain.execute(f"DROP POLICY owner_rows ON {table}")
                assert await plain.fetchval(f"SELECT count(*) FROM {table}") == 0
    finally:
        await owner.execute("DROP DATABASE IF EXISTS plain WITH (FORCE)")
        await owner.execute("DROP ROLE plain_owner")


def gzip_parts(file: Path) -> bytes:
    """Return what a backup in pg_dump's custom format has, its compressed parts opened."""
    content = file.read_bytes()
    parts = []
    for found in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", content):
        with contextlib.suppress(zlib.error):
            parts.append(zlib.decompressobj().decompress(content[found.start() :]))
    return b"".join(parts)


@pytest.mark.greenlets
async def test_what_the_service_lacks_is_named(owner: Pool, database: str) -> None:
    async def starts() -> tuple[int, str]:
        done = await asyncio.to_thread(
            run_command, "dead-letters", "list", CARDMINT_CLOUD_DATABASE=database
        )
        return done.returncode, done.stderr

    assert await starts() == (0, "")
    for broken, mended, says in (
        (
            "REVOKE UPDATE ON items FROM cardmint_service",
            "GRANT UPDATE ON items TO cardmint_service",
            "the user cardmint_service lacks UPDATE on items",
        ),
        (
            "ALTER TABLE quotes DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE quotes ENABLE ROW LEVEL SECURITY",
            "table quotes without policies of tenants",
        ),
        (
            "ALTER ROLE cardmint_service BYPASSRLS",
            "ALTER ROLE cardmint_service NOBYPASSRLS",
            "do not hold for the user cardmint_service",
        ),
    ):
        await owner.execute(broken)
        try:
            code, said = await starts()
        finally:
            await owner.execute(mended)
        assert (code, len(said.splitlines())) == (1, 1), said
        assert says in said
    assert await starts() == (0, "")


@pytest.mark.greenlets
async def test_a_table_on_no_list_is_refused(owner: Pool, owner_database: str) -> None:
    await owner.execute("CREATE TABLE stray (tenant text)")
    environment = {
        "CARDMINT_CLOUD_DATABASE": owner_database.replace("//cardmint:", "//cardmint_service:"),
        "CARDMINT_CLOUD_DATABASE_OWNER": owner_database,
    }
    done = await asyncio.to_thread(run_command, "migrate", **environment)
    assert done.returncode == 1
    assert "stray" in done.stderr
    await owner.execute("DROP TABLE stray")
    await owner.execute("ALTER TABLE items NO FORCE ROW LEVEL SECURITY")
    await owner.execute("REVOKE SELECT ON items FROM cardmint_service")
    done = await asyncio.to_thread(run_command, "migrate", **environment)
    assert done.returncode == 0, done.stderr
    assert await owner.fetchval("SELECT relforcerowsecurity FROM pg_class WHERE relname = 'items'")
    assert await owner.fetchval("SELECT has_table_privilege('cardmint_service', 'items', 'SELECT')")
