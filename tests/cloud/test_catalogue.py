"""The catalogue in the cloud: imported, searched in any language, shown, and used for prices."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from cardmint_cloud.adapters.postgres import catalogue
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.adapters.postgres.fleet.stations import put_health, put_state
from cardmint_cloud.catalogue_import import ImportSummary, import_catalogue
from cardmint_cloud.domain.catalogue_words import query_words, searched_text
from cardmint_cloud.errors import StopService
from cardmint_cloud.fleet import FleetPublisher
from cardmint_cloud.local.postgres import database_environment
from cardmint_contracts import topics
from cardmint_contracts.catalogue import CatalogueSet, Printing, Region, SourceIds
from cardmint_contracts.control import NewestSets
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.wire import decode
from tests.cloud.kit.cards import NOW
from tests.cloud.kit.catalogue import BASE, NEW, write_catalogue
from tests.cloud.kit.cli import run_command

pytestmark = pytest.mark.integration


def test_what_is_printed_is_found_without_case_marks_and_zeros() -> None:
    text = searched_text(BASE.printings[0], BASE)
    for query in (
        "charizard",
        "Dracaufeu BASE",
        "リザードン",
        "004/102",
        "4 / 102",
        "bs 4",
        "dè base",
    ):
        words = query_words(query)
        assert words
        assert all(word in text for word in words), query
    assert "4/102" not in searched_text(
        BASE.printings[0], msgspec.structs.replace(BASE, official=0)
    )
    assert query_words("\x00 ") == ()


async def take_catalogue(owner: Pool, folder: Path, **more: Any) -> ImportSummary:
    async with owner.acquire() as connection:
        return await import_catalogue(connection, folder, **more)


async def test_an_import_takes_what_is_new_or_changed(
    pool: Pool, owner: Pool, tmp_path: Path
) -> None:
    write_catalogue(tmp_path, BASE)
    first = await take_catalogue(owner, tmp_path, now=NOW, warn=pytest.fail)
    assert (first.changed, first.now.sets, first.now.printings) == (1, 1, 2)
    write_catalogue(tmp_path, BASE, NEW)
    second = await take_catalogue(owner, tmp_path, now=NOW, warn=pytest.fail)
    assert (second.changed, second.now.sets, second.now.printings) == (1, 2, 3)
    assert second.now.version != first.now.version
    again = await take_catalogue(owner, tmp_path, now=NOW, warn=pytest.fail)
    assert (again.changed, again.now.version) == (0, second.now.version)
    assert await catalogue.tcgplayer_groups(pool) == {"base1": 604, "me5": 24688}


async def test_its_date_gets_neither_older_nor_newer_by_a_part(owner: Pool, tmp_path: Path) -> None:
    said: list[str] = []

    async def take(days: int, *sets: CatalogueSet, replace_worse: bool = False) -> ImportSummary:
        folder = write_catalogue(tmp_path, *sets, made_at=NOW - timedelta(days=days))
        said.clear()
        return await take_catalogue(
            owner, folder, now=NOW, warn=said.append, replace_worse=replace_worse
        )

    whole = await take(10, BASE, NEW)
    older = await take(90, BASE, NEW)
    assert older.now.made_at == whole.now.made_at == NOW - timedelta(days=10)
    assert len(said) == 1
    part = await take(1, NEW)
    assert part.now.made_at == NOW - timedelta(days=10)
    assert (part.now.version, part.now.sets) == (whole.now.version, 2)
    newer = await take(1, BASE, NEW)
    assert newer.now.made_at == NOW - timedelta(days=1)
    assert said == []
    replaced = await take(30, NEW, replace_worse=True)
    assert replaced.now.made_at == NOW - timedelta(days=30)
    assert replaced.now.version != whole.now.version


async def names_of(pool: Pool, card_id: str) -> dict[str, str] | None:
    facts = await pool.fetchval("SELECT facts FROM catalogue_printings WHERE card_id = $1", card_id)
    return None if facts is None else msgspec.json.decode(facts, type=Printing).names


async def test_printings_and_names_once_known_stay(pool: Pool, owner: Pool, tmp_path: Path) -> None:
    write_catalogue(tmp_path, BASE, NEW)
    await take_catalogue(owner, tmp_path, now=NOW, warn=pytest.fail)
    renamed = replace(BASE.printings[0], names={"en": "Charizard!"}, variants=())
    smaller = replace(BASE, names={"en": "Base"}, printings=(renamed,), ids=SourceIds())
    write_catalogue(tmp_path, smaller, NEW)
    said: list[str] = []
    out = "--replace takes them out"
    done = await take_catalogue(owner, tmp_path, now=NOW, warn=said.append)
    assert said == [
        f"1 printings are no longer in {tmp_path}, such as base1-44: kept; {out}",
        f"names in fr (1 sets), ja (1 sets) are not in {tmp_path}: kept; {out}",
    ]
    assert (done.changed, done.skipped, done.now.printings) == (1, 0, 3)
    assert await names_of(pool, "base1-4") == {
        "en": "Charizard!", "fr": "Dracaufeu", "ja": "リザードン",
    }  # fmt: skip
    assert await names_of(pool, "base1-44") == BASE.printings[1].names
    assert await pool.fetchval(
        "SELECT finishes FROM catalogue_printings WHERE card_id = 'base1-4'"
    ) == ["holo"], "that no variants are known takes none away"
    assert await catalogue.tcgplayer_groups(pool) == {"base1": 604, "me5": 24688}
    said.clear()
    again = await take_catalogue(owner, tmp_path, now=NOW, warn=said.append)
    assert (again.changed, again.now.printings) == (0, 3)
    assert said == [f"1 printings are no longer in {tmp_path}: kept; {out}"]
    replaced = await take_catalogue(owner, tmp_path, now=NOW, warn=pytest.fail, replace_worse=True)
    assert (replaced.changed, replaced.now.printings) == (1, 2)
    assert await names_of(pool, "base1-4") == {"en": "Charizard!"}
    assert await names_of(pool, "base1-44") is None


async def test_what_cannot_be_used_is_one_line_and_what_was_good_stays(
    owner: Pool, tmp_path: Path
) -> None:
    with pytest.raises(StopService, match="catalogue fetch"):
        await take_catalogue(owner, tmp_path, now=NOW, warn=pytest.fail)
    write_catalogue(tmp_path, BASE, NEW)
    (tmp_path / "sets/international/me5.json").write_bytes(b"{}")
    said: list[str] = []
    done = await take_catalogue(owner, tmp_path, now=NOW, warn=said.append)
    assert (done.now.sets, done.skipped) == (1, 1)
    assert "not the file that the index names" in said[0]
    (tmp_path / "sets/international/me5.json").unlink()
    other = msgspec.structs.replace(
        BASE,
        id="other",
        region=Region.ASIA,
        printings=(
            Printing(id="base1-4", number="4", names={}),
            Printing(id="other-1", number="1", names={}),
        ),
    )
    write_catalogue(tmp_path / "next", other, complete=False)
    said.clear()
    done = await take_catalogue(owner, tmp_path / "next", now=NOW, warn=said.append)
    assert (done.now.sets, done.now.printings, done.skipped) == (2, 3, 1)
    out = "--replace takes them out"
    assert [line.partition(": ")[2] for line in said] == [
        "its download is not complete: run `cardmint-edge catalogue fetch` again",
        "skipped 'base1-4': set base1 has it",
        f"kept; {out}",
    ]
    gone = await take_catalogue(
        owner, tmp_path / "next", now=NOW, warn=said.append, replace_worse=True
    )
    assert (gone.now.sets, gone.changed) == (1, 1)
    (tmp_path / "next" / "catalogue.json").write_bytes(b"{")
    with pytest.raises(StopService, match="not a catalogue's index"):
        await take_catalogue(owner, tmp_path / "next", now=NOW, warn=pytest.fail)


async def test_a_folder_without_any_usable_set_changes_nothing(owner: Pool, tmp_path: Path) -> None:
    write_catalogue(tmp_path, BASE)
    (tmp_path / "sets/international/base1.json").unlink()
    with pytest.raises(StopService, match="no set of it can be used"):
        await take_catalogue(owner, tmp_path, now=NOW, warn=lambda _: None)


async def read(site: httpx.AsyncClient, path: str, status: int = 200) -> str:
    response = await site.get(path)
    assert response.status_code == status, response.text
    return " ".join(response.text.split())


@pytest.mark.greenlets
async def test_the_dashboard_searches_and_shows_it(
    owner: Pool, site: httpx.AsyncClient, tmp_path: Path
) -> None:
    assert "No catalogue is imported yet" in await read(site, "/catalogue")
    assert "No catalogue" not in await read(site, "/")
    await take_catalogue(owner, write_catalogue(tmp_path, BASE, NEW), now=NOW, warn=pytest.fail)
    page = await read(site, "/catalogue?q=dracaufeu 004/102")
    assert "3 printings in 2 sets" in page
    assert "Charizard" in page
    assert "Bulbasaur" not in page
    assert "exists as" not in page
    assert "days old" not in page
    assert page.index("Pitch Black") < page.index("Base Set</a></td> <td>BS</td><td>1999")
    assert "No printing has all of these words." in await read(site, "/catalogue?q=none")
    page = await read(site, "/catalogue/base1")
    assert "2 printings, 102 in the official count, came out 1999-01-09" in page
    assert "<td>Holo</td>" in page
    assert ">not known<" in page
    assert "0 of 2 printings held (0%)" in page
    assert 'aria-current="page">All (2)</a>' in page
    assert "Nothing of it is held." in await read(site, "/catalogue/base1?show=held")
    missing = await read(site, "/catalogue/base1?show=missing")
    assert missing.count("/cards/base1-") == 2
    assert "Charizard" in await read(site, "/catalogue/base1?show=<b>")
    await read(site, "/catalogue/none", 404)
    page = await read(site, "/cards/base1-4")
    assert "Exists as Holo." in page
    assert "fr: Dracaufeu" in page
    await read(site, "/cards/base1-99", 404)


@pytest.mark.greenlets
async def test_an_old_catalogue_says_so(
    owner: Pool, site: httpx.AsyncClient, tmp_path: Path
) -> None:
    old = NOW.replace(year=NOW.year - 1)
    folder = write_catalogue(tmp_path, BASE, made_at=old)
    await take_catalogue(owner, folder, now=NOW, warn=pytest.fail)
    assert "365 days old" in await read(site, "/catalogue")


class Retained:
    """A broker that keeps the last message of each topic."""

    def __init__(self) -> None:
        self.messages: dict[str, bytes] = {}
        self._published = asyncio.Event()

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> asyncio.Future[None]:
        assert retain
        self.messages[topic] = payload
        self._published.set()
        done: asyncio.Future[None] = asyncio.Future()
        done.set_result(None)
        return done

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                self._published.clear()
                await self._published.wait()


async def test_every_tenants_stations_are_told_the_newest_sets(
    pool: Pool, owner: Pool, tmp_path: Path
) -> None:
    for tenant in ("shop", "other"):
        async with tenant_transaction(pool, tenant) as connection:
            await connection.execute(
                "INSERT INTO watermarks (tenant, stream, source, sequence, updated_at)"
                " VALUES ($1, $2, '/stations/left', 0, $3)",
                tenant,
                UUID(int=len(tenant)),
                NOW,
            )
    broker, fleet = Retained(), FleetPublisher(pool)
    told = asyncio.create_task(fleet.run(broker))
    topic = topics.fleet_sets_topic("shop")
    fleet.changed()
    await broker.until(lambda: broker.messages.get(topic) == b'{"sets":[]}')
    await take_catalogue(owner, write_catalogue(tmp_path, BASE, NEW), now=NOW, warn=pytest.fail)
    fleet.changed()
    await broker.until(lambda: b"Pitch Black" in broker.messages[topic])
    told.cancel()
    assert decode(broker.messages[topics.fleet_sets_topic("other")], NewestSets).since(
        "2026-03-01"
    ) == ["Pitch Black"]


@pytest.mark.greenlets
async def test_a_station_that_is_behind_is_shown_with_the_sets_since(
    pool: Pool, owner: Pool, site: httpx.AsyncClient, tmp_path: Path
) -> None:
    await take_catalogue(owner, write_catalogue(tmp_path, BASE, NEW), now=NOW, warn=pytest.fail)
    state = StationState(
        online=True,
        epoch=1,
        bootid=UUID(int=1),
        stream=UUID(int=2),
        time="2026-11-22T12:00:00Z",
        version="0.1.0",
    )
    health = StationHealth(
        time="2026-11-22T12:00:00Z",
        queued=0,
        oldest_unsent_s=0,
        disk_free_bytes=1,
        clock_synced=True,
        catalogue_at="2026-03-01T00:00:00Z",
    )
    async with tenant_transaction(pool, "shop") as connection:
        await put_state(connection, "shop", "left", state, NOW)
        await put_health(connection, "shop", "left", health, NOW)
    page = await read(site, "/stations")
    assert "of 2026-03-01" in page
    assert "came out since: Pitch Black" in page
    async with tenant_transaction(pool, "shop") as connection:
        await put_health(connection, "shop", "left", replace(health, catalogue_at=""), NOW)
    page = await read(site, "/stations")
    assert "came out since" not in page
    assert "not said" in page


@pytest.mark.greenlets
async def test_the_command_says_what_it_did(owner_database: str, tmp_path: Path) -> None:
    write_catalogue(tmp_path, BASE)
    (tmp_path / "sets" / "x").mkdir()
    done = await asyncio.to_thread(
        run_command, "catalogue", "import", str(tmp_path), **database_environment(owner_database)
    )
    assert done.returncode == 0, done.stderr
    assert ": 1 sets, 1 new or changed, 2 printings, 0 skipped" in done.stdout
    lost = await asyncio.to_thread(
        run_command,
        "catalogue",
        "import",
        str(tmp_path / "none"),
        **database_environment(owner_database),
    )
    assert lost.returncode == 1
    assert "catalogue fetch" in lost.stderr
