"""Cards from files and by hand: previewed, added once, taken back, brought back; the log agrees."""

import asyncio
import csv
import io
import re
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, owner_connection
from cardmint_cloud.catalogue_import import import_catalogue
from cardmint_cloud.domain import item_changes as values
from cardmint_cloud.errors import Conflict
from cardmint_cloud.item_changes import change_items, undo_change
from cardmint_cloud.item_import import BLOCK, ImportReport, add_cards, check_rows, import_rows
from cardmint_cloud.rebuild import compare_with_log
from cardmint_contracts.cards import Condition
from cardmint_contracts.changes import AddedGroup, ItemValues, Stock
from cardmint_contracts.events import ItemsAdded
from cardmint_contracts.upcasters import MAX_EVENT_BYTES
from cardmint_contracts.wire import encode
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.catalogue import BASE, write_catalogue
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.logs import FoldedTables, logged_event
from tests.cloud.kit.web import plain

Cells = dict[str, str]


def test_what_is_added_is_an_item_once() -> None:
    tables = FoldedTables()
    one, two = UUID(int=1), UUID(int=2)
    given = ItemValues(card=FOX, bin="A1", stock=Stock.RESERVED)
    group = AddedGroup(items=(one, two), values=given, references=("a", "b"))
    tables.apply([logged_event(ItemsAdded(change=UUID(int=9), by="ann", groups=(group,)))])
    item = tables.items["shop", one]
    assert (item.card_id, item.bin, item.stock, item.station) == (FOX.id, "A1", "reserved", "")
    assert (item.version, item.changes, item.confidence) == (1, (UUID(int=9),), 1.0)
    again = tables.apply([logged_event(ItemsAdded(change=UUID(int=8), by="ben", groups=(group,)))])
    assert (again.superseded, again.items) == (2, {})
    assert values.additions_undone([group])[0].after == ItemValues(stock=Stock.RESERVED)
    gone = AddedGroup(items=(one,), values=ItemValues(card=FOX, stock=Stock.REMOVED))
    assert values.additions_undone([gone]) == []
    with pytest.raises(ValueError, match="printing"):
        AddedGroup(items=(one,), values=ItemValues(bin="A"))
    with pytest.raises(ValueError, match="as many"):
        AddedGroup(items=(one, two), values=given, references=("a",))


def test_an_event_of_additions_has_room() -> None:
    given = [ItemValues(card=FOX, note=f"{n:0200}") for n in range(300)]
    cards = [(UUID(int=n), f"{n:0200}", given[n % 300 if n > 900 else 0]) for n in range(1500)]
    events = values.in_additions(UUID(int=1), "ann", values.added_groups(cards))
    assert all(len(encode(event)) < MAX_EVENT_BYTES for event in events)
    found = [one for event in events for group in event.groups for one in group.items]
    assert sorted(found) == [item for item, _, _ in cards]
    (plainly,) = values.added_groups([(UUID(int=1), "", given[0])])
    assert plainly.references == ()


async def held(pool: Pool) -> int:
    return int(
        await TenantDatabase(pool, "shop").fetchval(
            "SELECT coalesce(sum(count), 0)::int FROM holdings"
        )
    )


async def imported(pool: Pool, *rows: Cells) -> ImportReport:
    numbered = list(enumerate(rows, 2))
    checked = await check_rows(pool, "shop", numbered, {})
    done = await import_rows(pool, "shop", numbered, {}, user="ann", now=NOW)
    checked.change = done.change
    assert checked == done, "the preview says what is done"
    return done


@pytest.mark.integration
async def test_a_file_adds_once_and_is_taken_back_and_brought_back(
    pool: Pool, owner_database: str
) -> None:
    await send(pool, accepted(), accepted(OWL))
    rows = [
        {"reference": "a", "card_id": FOX.id, "condition": "NM", "quantity": "2"},
        {"reference": "b", "set_id": "FIC1", "number": "10", "name": "owl", "bin": "B1"},
        {"reference": "c", "set_name": "first light", "number": "999"},
        {"reference": "a", "card_id": OWL.id},
        {"reference": "d", "card_id": FOX.id, "condition": "VG"},
    ]
    first = await imported(pool, *rows)
    assert (first.added, first.there, first.wrong, await held(pool)) == (3, 0, 3, 5)
    assert [number for number, _ in first.faults] == [5, 6, 4]
    assert first.words == {("condition", "vg"): 1}
    again = await imported(pool, *rows)
    assert (again.added, again.there, again.change, await held(pool)) == (0, 3, None, 5)
    assert first.change is not None
    back = await undo_change(pool, "shop", first.change, user="ben", now=NOW)
    assert (back.items, back.kept, await held(pool)) == (3, 0, 2)
    rows[1]["bin"] = "B2"
    corrected = await imported(pool, *rows)
    assert (corrected.added, corrected.brought_back, await held(pool)) == (0, 3, 5)
    bins = await TenantDatabase(pool, "shop").fetch("SELECT bin FROM items WHERE bin <> ''")
    assert [row["bin"] for row in bins] == ["B2"]
    comparison = await compare_with_log(owner_database)
    assert comparison.equal, comparison.first


@pytest.mark.integration
async def test_what_a_person_removed_or_sold_does_not_come_back(pool: Pool) -> None:
    await send(pool, accepted())
    added = await imported(pool, {"reference": "a", "card_id": FOX.id, "quantity": "2"})
    sold, removed = (values.referred_item("shop", "a", n) for n in (1, 2))
    for item, stock in ((sold, Stock.SOLD), (removed, Stock.REMOVED)):
        after = ItemValues(stock=stock)
        await change_items(pool, "shop", {item: 1}, after, user="ben", now=NOW)
    assert (await imported(pool, {"reference": "a", "card_id": FOX.id, "quantity": "2"})).there == 2
    assert added.change is not None
    with pytest.raises(Conflict, match="changed again"):
        await undo_change(pool, "shop", added.change, user="ben", now=NOW)


@pytest.mark.integration
async def test_an_export_with_changes_changes_its_items(pool: Pool) -> None:
    scan, stale, asked = accepted(), accepted(), doubtful()
    await send(pool, scan, stale, asked)
    await send(pool, accepted(OWL))
    await change_items(pool, "shop", {stale.scan: 1}, ItemValues(bin="X"), user="ben", now=NOW)
    done = await imported(
        pool,
        {"item": str(scan.scan), "version": "1", "card_id": OWL.id, "bin": "C1", "lot": ""},
        {"item": str(stale.scan), "version": "1", "bin": "lost"},
        {"item": str(asked.scan), "version": "1", "card_id": OWL.id},
        {"item": str(uuid4()), "version": "1"},
        {"item": str(stale.scan), "version": "2", "bin": "X"},
    )
    assert (done.changed, done.there, done.wrong) == (1, 0, 4)
    said = " ".join(fault for _, fault in done.faults)
    for text in ("changed meanwhile", "not counted", "there is no card", "an earlier row"):
        assert text in said
    same = await imported(pool, {"item": str(stale.scan), "version": "2", "bin": "X"})
    assert (same.changed, same.there, same.change) == (0, 1, None)
    row = await TenantDatabase(pool, "shop").fetchrow(
        "SELECT card_id, bin FROM items WHERE item = $1", scan.scan
    )
    assert row is not None
    assert tuple(row) == (OWL.id, "C1")


@pytest.mark.integration
async def test_a_large_file_is_one_change_in_many_blocks(pool: Pool) -> None:
    await send(pool, accepted())
    rows = [
        {"reference": f"{n:0190}", "card_id": FOX.id, "quantity": "9", "note": f"{n:0190}"}
        for n in range(4 * BLOCK // 9)
    ]
    done = await imported(pool, *rows)
    assert (done.added, await held(pool)) == (9 * len(rows), 9 * len(rows) + 1)
    assert done.change is not None
    back = await undo_change(pool, "shop", done.change, user="ben", now=NOW)
    assert (back.items, await held(pool)) == (9 * len(rows), 1)
    assert back.change is not None
    forth = await undo_change(pool, "shop", back.change, user="ben", now=NOW)
    assert forth.items == 9 * len(rows)


@pytest.mark.integration
async def test_the_catalogue_names_cards_that_no_station_saw(
    pool: Pool, owner_database: str, tmp_path: Path
) -> None:
    folder = write_catalogue(tmp_path, BASE)
    async with owner_connection(owner_database) as connection:
        await import_catalogue(connection, folder, warn=lambda _: None, now=NOW)
    done = await imported(
        pool,
        {"reference": "a", "card_id": "base1-4", "name": "DRACAUFEU"},
        {"reference": "b", "set_id": "bs", "number": "044/102"},
    )
    assert (done.added, done.wrong) == (2, 0), done.faults


@pytest.mark.integration
async def test_cards_are_added_by_hand_once(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, accepted())
    form = plain(await site.get("/items/add", params={"card": FOX.id}))
    (reference,) = re.findall(r'name="reference"\s+value="([^"]+)"', form)
    assert f'value="{FOX.id}"' in form
    data = {
        "reference": reference,
        "card": FOX.id,
        "quantity": "3",
        "condition": "near_mint",
        "bin": "<b>A</b>",
    }
    for wrong, said in (
        ({"card": ""}, "which printing is it"),
        ({"card": "none-1"}, "no station and no catalogue"),
        ({"quantity": "many"}, "a number from 1 to 1,000"),
        ({"reference": ""}, "open this form again"),
        ({"reference": "two\nlines"}, "open this form again"),
        ({"clear": "bin"}, "nothing to clear"),
    ):
        answer = await site.post("/items/add", data={**data, **wrong})
        assert answer.status_code == 422
        assert said in plain(answer)
        assert "&lt;b&gt;A&lt;/b&gt;" in answer.text, "what was typed stays"
    assert await held(pool) == 1
    done = await site.post("/items/add", data=data)
    assert "3 added." in plain(done)
    assert await held(pool) == 4
    twice = await site.post("/items/add", data=data)
    assert (twice.status_code, await held(pool)) == (409, 4)
    assert "added already" in plain(twice)
    changes = plain(await site.get("/changes"))
    assert "Added: 3 cards" in changes
    page = await site.get("/items", params={"q": "bin:<b>A</b>"})
    item = re.findall(r'data-item="([^"]+)"', page.text)[0]
    assert "Added without a camera" in plain(await site.get(f"/items/{item}"))
    with pytest.raises(Conflict, match="from 1 to"):
        await add_cards(
            pool, "shop", ItemValues(card=FOX), reference="x", quantity=0, user="ann", now=NOW
        )


@pytest.mark.integration
@pytest.mark.greenlets
@pytest.mark.parametrize("form", ["csv", "json", "xlsx"])
async def test_the_command_writes_reads_and_takes_back(
    form: str, pool: Pool, database: str, tmp_path: Path
) -> None:

    await send(pool, accepted(), accepted(OWL))
    file = tmp_path / f"cards.{form}"

    async def run(*words: str) -> tuple[int, str]:
        where = {"CARDMINT_CLOUD_DATABASE": database, "CARDMINT_CLOUD_TENANT": "shop"}
        done = await asyncio.to_thread(run_command, "inventory", *words, **where)
        return done.returncode, done.stdout + done.stderr

    code, said = await run("export", str(file), "--query", "fox")
    assert (code, "bytes" in said) == (0, True)
    assert (await run("export", str(file), "--query", "foo:1"))[0] == 1
    assert (await run("export", str(tmp_path / "cards.txt")))[0] == 1
    code, said = await run("import", str(file))
    assert (code, "1 stay as they are" in said) == (0, True), said
    fresh = tmp_path / "new.csv"
    fresh.write_text(f"reference,card_id,condition\na,{FOX.id},VG\nb,none-1,NM\nc,{OWL.id},\n")
    code, said = await run("import", str(fresh))
    assert code == 1
    for text in ("--map 'condition:vg=...'", "row 3: no station", "nothing was imported"):
        assert text in said
    assert await held(pool) == 2
    mapped = ("--map", "condition:VG=lp", "--skip-wrong")
    assert (await run("import", str(fresh), *mapped, "--dry-run"))[0] == 0
    assert await held(pool) == 2
    assert (await run("import", str(fresh), *mapped))[0] == 1, "nobody answered the question"
    code, said = await run("import", str(fresh), *mapped, "--yes")
    assert (code, await held(pool)) == (1, 4)
    (change,) = re.findall(r"inventory undo ([0-9a-f-]{36})", said)
    worn = await TenantDatabase(pool, "shop").fetchval(
        "SELECT count(*) FROM items WHERE condition = $1", Condition.LIGHTLY_PLAYED.value
    )
    assert worn == 1
    code, said = await run("undo", change)
    assert (code, await held(pool)) == (0, 2)
    assert "2 cards are as before" in said
    assert (await run("undo", str(uuid4())))[0] == 1
    assert (await run("import", str(fresh), "--map", "condition"))[0] == 2


@pytest.mark.integration
async def test_a_download_is_what_the_filter_shows(pool: Pool, site: httpx.AsyncClient) -> None:
    await send(pool, accepted(), accepted(OWL))
    answer = await site.get("/items/download/csv", params={"q": "owl"})
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["name"], row["version"]) == (OWL.name, "1")
    sheet = await site.get("/items/download/xlsx", params={"q": "owl"})
    assert sheet.content.startswith(b"PK")
    assert "spreadsheetml" in sheet.headers["content-type"]
