"""Worker and dashboard behind PgBouncer in transaction mode, with fewer sessions than they ask for.

Every transaction may have another session than the one before, also of another tenant's.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.adapters.postgres.queries.inventory import count_by_status
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.app import database as service_pool
from cardmint_cloud.app import listening_pool
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_cloud.settings import CloudSettings
from cardmint_lab.folders import temporary_folder
from tests.cloud.kit.cards import accepted, send
from tests.cloud.kit.services import count_and_show
from tests.cloud.kit.stations import StationStub

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]

SESSIONS = 3
_CONFIG = """\
[databases]
{name} = host=127.0.0.1 port={postgres} dbname={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {sessions}
logfile = {folder}/log
pidfile = {folder}/pid
"""


@pytest.fixture
def pooled_settings(database: str) -> Iterator[CloudSettings]:
    """Settings of a service whose database is behind a PgBouncer, which runs."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "pgbouncer is missing: apt install pgbouncer"
    address, port = make_url(database), free_port()
    with temporary_folder() as folder:
        config = folder / "pgbouncer.ini"
        config.write_text(
            _CONFIG.format(
                name=address.database,
                postgres=address.port,
                port=port,
                folder=folder,
                sessions=SESSIONS,
            )
        )
        (folder / "users").write_text(f'"{address.username}" "{address.password}"\n')
        user = "nobody" if os.geteuid() == 0 else None
        if user:
            for path in (folder, config, folder / "users"):
                shutil.chown(path, user)
        pooler = ChildProcess([program, str(config)], folder / "output", user=user)
        try:
            pooler.wait_until(lambda: accepts_connections(port))
            through = address.set(port=port).render_as_string(hide_password=False)
            yield CloudSettings(tenant="shop", database=through, database_direct=database)
        finally:
            pooler.stop()


async def test_each_transaction_is_its_tenants_whatever_session_it_has(
    pooled_settings: CloudSettings, pool: Pool
) -> None:
    """Many transactions at once of two tenants, over three sessions."""
    engine = engine_for(pooled_settings.database, pooled=True)
    async with service_pool(pooled_settings) as through:
        await send(through, accepted())
        await send(through, accepted(), accepted(), tenant="other")
        counts = {"shop": 1, "other": 2, "nobody": 0}

        async def look(turn: int) -> None:
            tenant = ("shop", "other", "nobody")[turn % 3]
            seen = await TenantDatabase(through, tenant).fetchval("SELECT count(*) FROM items")
            assert seen == counts[tenant]
            async with reading(engine, tenant) as connection:
                found = await count_by_status(connection, tenant)
            assert sum(found.values()) == counts[tenant]
            async with through.acquire() as connection:
                assert await connection.fetchval("SELECT count(*) FROM items") == 0

        await asyncio.gather(*(look(turn) for turn in range(60)))
        async with listening_pool(pooled_settings, through) as listening:
            heard: asyncio.Queue[str] = asyncio.Queue()
            async with listening.acquire() as connection:

                def hear(*told: object) -> None:
                    heard.put_nowait(str(told[3]))

                await connection.add_listener("cardmint", hear)
                await send(through, accepted())
                assert await asyncio.wait_for(heard.get(), 20) == "shop items"
                await connection.remove_listener("cardmint", hear)
    await engine.dispose()


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
async def test_a_cloud_behind_it_counts_and_shows(
    pooled_settings: CloudSettings, broker: LocalBroker, station: StationStub, tmp_path: Path
) -> None:
    addresses = {
        "CARDMINT_CLOUD_DATABASE": pooled_settings.database,
        "CARDMINT_CLOUD_DATABASE_DIRECT": pooled_settings.database_direct,
    }
    said = await count_and_show(addresses, broker, station, tmp_path)
    assert "prepared statement" not in said
