"""Worker and dashboard behind PgBouncer in transaction mode, with fewer sessions than they ask for.

Every transaction may have another session than the one before, also of another tenant's.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
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
from tests.cloud.kit.cards import accepted, sealed, send
from tests.cloud.kit.stations import StationStub, wait_for_worker

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


async def ran_a_job(client: httpx.AsyncClient) -> bool:
    """Whether a card was priced: the job queue goes past the pooler."""
    return "cardmint_provider_breakers{" in (await client.get("/metrics")).text


@pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)
async def test_a_cloud_behind_it_counts_and_shows(
    pooled_settings: CloudSettings, broker: LocalBroker, station: StationStub, tmp_path: Path
) -> None:
    web_port = free_port()
    environment = {
        "CARDMINT_CLOUD_TENANT": "shop",
        "CARDMINT_CLOUD_DATABASE": pooled_settings.database,
        "CARDMINT_CLOUD_DATABASE_DIRECT": pooled_settings.database_direct,
        "CARDMINT_CLOUD_BROKER_PORT": str(broker.port),
        "CARDMINT_CLOUD_WEB_PORT": str(web_port),
        "CARDMINT_CLOUD_IMAGES": str(tmp_path / "images"),
        "CARDMINT_CLOUD_PRICES_ORDER": "tcgdex",
        "CARDMINT_CLOUD_PRICES_TCGDEX_URL": "http://127.0.0.1:9",
        "CARDMINT_CLOUD_PRICES_EVERY_S": "1",
    }
    script = str(Path(sys.executable).with_name("cardmint-cloud"))
    logs = {name: tmp_path / f"{name}.log" for name in ("work", "serve")}
    children = [ChildProcess([script, name], log, env=environment) for name, log in logs.items()]
    try:
        await asyncio.to_thread(children[1].wait_until, lambda: accepts_connections(web_port))
        await wait_for_worker(station)
        station.send(sealed(*(accepted() for _ in range(200)), start=2))
        assert (await station.receipt_for(201)).sequence == 201
        base = f"http://127.0.0.1:{web_port}"
        async with httpx.AsyncClient(base_url=base, timeout=30) as client:
            paths = ("/", "/reviews", "/stations", "/prices", "/value", "/api/v1/shop/items")
            answers = await asyncio.gather(*(client.get(path) for path in paths * 5))
            assert {answer.status_code for answer in answers} == {200}
            shown = await client.get("/api/v1/shop/inventory")
            assert shown.json()["totals"]["cards"] == 201
            assert (await client.get("/healthz")).json() == {"database": True, "listening": True}
            async with asyncio.timeout(30):
                while not await ran_a_job(client):  # noqa: ASYNC110 - another process does it
                    await asyncio.sleep(0.3)
        for log in logs.values():
            said = log.read_text()
            assert "prepared statement" not in said
            assert "the database does not" not in said, said[-2000:]
    finally:
        for child in children:
            await asyncio.to_thread(child.stop)
