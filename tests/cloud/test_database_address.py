"""Addresses of databases as people have them, servers with TLS, and few connections."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardmint_cloud.adapters.postgres.address import DatabaseAddress
from cardmint_cloud.adapters.postgres.backup import write_backup
from cardmint_cloud.adapters.postgres.connection import owner_connection
from cardmint_cloud.adapters.postgres.migrate import check_revision, engine_for, migrate
from cardmint_cloud.app import database as service_pool
from cardmint_cloud.background_jobs import build_queue
from cardmint_cloud.errors import RetryLater, StopService
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.postgres import LocalPostgres, service_address
from cardmint_cloud.settings import CloudSettings
from cardmint_lab.folders import temporary_folder
from tests.cloud.kit.database import connected
from tests.cloud.kit.services import count_and_show
from tests.cloud.kit.stations import StationStub
from tests.edge.kit.certificates import make_certificates

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]
DEBIAN = Path("/usr/lib/postgresql/15/bin")


@pytest.mark.parametrize(
    ("text", "shown", "parts"),
    [
        ("postgresql://u:p%40w@h:5433/db?sslmode=require", "postgresql://u:***@h:5433/db", 6),
        ("postgresql+asyncpg://u@h/db", "postgresql://u@h/db", 3),
        ("postgresql+psycopg://u@h/db?gssencmode=disable", "postgresql://u@h/db", 3),
        (
            " postgres://u@h1:1,h2:2/db?target_session_attrs=read-write ",
            "postgresql://u@h1,h2/db",
            5,
        ),
        ("host=h dbname=db user=u client_encoding=UTF8", "postgresql://u@h/db", 3),
        ("postgresql://[::1]:5/db?channel_binding=prefer", "postgresql://[::1]:5/db", 3),
        ("postgresql://h/db?application_name=x&options=-csearch_path%3Dy", "postgresql://h/db", 4),
    ],
)
def test_an_address_is_read_as_libpq_reads_it(text: str, shown: str, parts: int) -> None:
    address = DatabaseAddress.read(text)
    assert (str(address), len(address.parts)) == (shown, parts)
    assert DatabaseAddress.read(address.libpq) == address
    assert address.password not in address.libpq_without_password or not address.password


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql://h/db?pgbouncer=true", "parameter pgbouncer .*database_direct"),
        ("postgresql://h/db?ssl=require", "parameter ssl .*sslmode=require"),
        ("postgresql://h/db?channel_binding=require", "parameter channel_binding .*verify-full"),
        ("postgresql://h/db?keepalives=1", "parameter keepalives is not understood; remove it"),
        ("host=h dbname=db colour=red", "parameter colour is not understood"),
        ("postgresql://h:port/db", "the port 'port' is no number"),
        ("postgresql://h/db?connect_timeout=soon", "the connect_timeout 'soon' is no number"),
        ("", "is empty"),
        ("mysql://h/secret", "not an address of the form postgresql://"),
        ("postgresql://h/%zz", "not an address of the form postgresql://"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(StopService, match=f"^database_direct: .*{said}") as refused:
        DatabaseAddress.read(text, "database_direct")
    assert "secret" not in str(refused.value)


def test_the_systems_authorities_and_a_timeout_reach_asyncpg() -> None:
    text = "postgresql://h/db?sslmode=verify-full&sslrootcert=system&connect_timeout=5"
    arguments = DatabaseAddress.read(text).asyncpg
    assert arguments["timeout"] == 5
    assert arguments["ssl"].check_hostname
    assert "sslrootcert" not in arguments["dsn"]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalPostgres, Path]]:
    """A server that takes connections with TLS only, and the file of its authority."""
    if not DEBIAN.exists():
        pytest.skip("Debian's Postgres 15, which has TLS, is not installed")
    files = make_certificates(tmp_path_factory.mktemp("tls") / "postgres")
    with temporary_folder() as folder:
        server = LocalPostgres(folder, binaries=DEBIAN).start()
        server.stop()
        data = folder / "data"
        for name in ("cert.pem", "key.pem"):
            shutil.copy(files / name, data / name)
            (data / name).chmod(0o600)
            shutil.chown(data / name, data.owner(), data.group())
        with (data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\nssl_cert_file = 'cert.pem'\nssl_key_file = 'key.pem'\n")
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        server.start()
        try:
            yield server, files / "ca.pem"
        finally:
            server.drop()


async def test_every_library_speaks_tls_when_the_address_says_so(
    secured: tuple[LocalPostgres, Path], tmp_path: Path
) -> None:
    server, authority = secured
    trusting = f"?sslmode=verify-full&sslrootcert={authority}"
    owner = f"{server.address.replace('postgresql:', 'postgresql+asyncpg:')}{trusting}"
    service = f"{service_address(server.address)}{trusting}"
    engine = engine_for(owner)
    try:
        await migrate(engine, service)
    finally:
        await engine.dispose()
    async with service_pool(CloudSettings(database=service)) as pool:
        assert await pool.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        async with build_queue(service, pool, []).open_async() as queue:
            assert await queue.check_connection_async()
    async with owner_connection(owner) as connection:
        assert await connection.fetchval("SELECT cardmint_owner()")
    await asyncio.to_thread(write_backup, owner, tmp_path / "backup")
    assert (tmp_path / "backup").stat().st_size > 10_000


async def test_a_server_that_is_not_trusted_or_wants_tls_is_explained(
    secured: tuple[LocalPostgres, Path], tmp_path: Path
) -> None:
    server, _ = secured
    another = make_certificates(tmp_path / "another") / "ca.pem"
    for parameters, said in (
        ("?sslmode=disable", "refuses a connection without TLS; add .sslmode=require"),
        (f"?sslmode=verify-full&sslrootcert={another}", "its certificate is not trusted"),
    ):
        engine = engine_for(f"{server.address}{parameters}")
        with pytest.raises(StopService, match=said):
            await check_revision(engine)
        await engine.dispose()


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
async def test_a_cloud_does_with_the_connections_that_it_is_given(
    owner_database: str, broker: LocalBroker, station: StationStub, tmp_path: Path
) -> None:
    """Six for the worker, six for the dashboard, and none more: the server refuses the 13th."""
    user = "sparing"
    async with connected(owner_database) as connection:
        await connection.execute(
            f"CREATE ROLE {user} LOGIN PASSWORD 'cardmint' IN ROLE cardmint_service INHERIT"
            " CONNECTION LIMIT 12"
        )
    address = owner_database.replace("cardmint:", f"{user}:", 1)
    try:
        engine = engine_for(owner_database)
        try:
            await migrate(engine, address)
        finally:
            await engine.dispose()
        settings = {
            "CARDMINT_CLOUD_DATABASE": address,
            "CARDMINT_CLOUD_DATABASE_CONNECTIONS": "6",
        }
        await count_and_show(settings, broker, station, tmp_path)
        async with connected(owner_database) as connection:
            await connection.execute(f"ALTER ROLE {user} CONNECTION LIMIT 0")
        engine = engine_for(address)
        with pytest.raises(RetryLater, match=r"no connection left for sparing .*connections`"):
            await check_revision(engine)
        await engine.dispose()
    finally:
        async with connected(owner_database) as connection:
            await connection.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")
