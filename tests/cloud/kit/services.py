"""A worker and a dashboard as processes, which count what a station sends."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from tests.cloud.kit.cards import accepted, sealed
from tests.cloud.kit.stations import StationStub, wait_for_worker

CARDS = 201


async def count_and_show(
    settings: Mapping[str, str], broker: LocalBroker, station: StationStub, folder: Path
) -> str:
    """Run worker and dashboard with `settings`: cards come in, pages show them, a job runs.

    Returns what both logged; the database never failed them.
    """
    web_port = free_port()
    environment = {
        "CARDMINT_CLOUD_TENANT": "shop",
        "CARDMINT_CLOUD_BROKER_PORT": str(broker.port),
        "CARDMINT_CLOUD_WEB_PORT": str(web_port),
        "CARDMINT_CLOUD_IMAGES": str(folder / "images"),
        "CARDMINT_CLOUD_PRICES_ORDER": "tcgdex",
        "CARDMINT_CLOUD_PRICES_TCGDEX_URL": "http://127.0.0.1:9",
        "CARDMINT_CLOUD_PRICES_EVERY_S": "1",
        **settings,
    }
    script = str(Path(sys.executable).with_name("cardmint-cloud"))
    logs = {name: folder / f"{name}.log" for name in ("work", "serve")}
    children = [ChildProcess([script, name], log, env=environment) for name, log in logs.items()]
    try:
        await asyncio.to_thread(children[1].wait_until, lambda: accepts_connections(web_port))
        await wait_for_worker(station)
        station.send(sealed(*(accepted() for _ in range(CARDS - 1)), start=2))
        assert (await station.receipt_for(CARDS)).sequence == CARDS
        base = f"http://127.0.0.1:{web_port}"
        async with httpx.AsyncClient(base_url=base, timeout=30) as client:
            paths = ("/", "/reviews", "/stations", "/prices", "/value", "/api/v1/shop/items")
            answers = await asyncio.gather(*(client.get(path) for path in paths * 5))
            assert {answer.status_code for answer in answers} == {200}, [
                f"{answer.url}: {answer.text[:300]}"
                for answer in answers
                if answer.status_code != 200
            ]
            shown = await client.get("/api/v1/shop/inventory")
            assert shown.json()["totals"]["cards"] == CARDS
            assert (await client.get("/healthz")).json() == {"database": True, "listening": True}
            async with asyncio.timeout(30):
                while not await _ran_a_job(client):  # noqa: ASYNC110 - another process does it
                    await asyncio.sleep(0.3)
    finally:
        for child in children:
            await asyncio.to_thread(child.stop)
    said = "".join(log.read_text() for log in logs.values())
    assert "the database does not" not in said, said[-2000:]
    return said


async def _ran_a_job(client: httpx.AsyncClient) -> bool:
    """Whether a card was priced: the job queue works."""
    return "cardmint_provider_breakers{" in (await client.get("/metrics")).text
