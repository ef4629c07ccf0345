"""Changes of items: all or none, taken back as one, and the same when the log is folded again."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, tenant_transaction
from cardmint_cloud.adapters.postgres.queries import item_list, valuation
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain import item_changes as values
from cardmint_cloud.domain.items import Item, review_task_id, touched_keys
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.item_changes import MAX_CHANGED, change_items, undo_change
from cardmint_cloud.rebuild import compare_with_log
from cardmint_cloud.reviews.answers import append_user_events, lock_user_stream
from cardmint_contracts.cards import Condition, Edition, Finish, Money, ScanDefaults
from cardmint_contracts.changes import Clearable, ItemsGroup, ItemValues, Slab, Stock
from cardmint_contracts.events import EventData, ItemsChanged, Question, ReviewOpened
from cardmint_contracts.upcasters import MAX_EVENT_BYTES
from cardmint_contracts.wire import encode
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.logs import FoldedTables, logged_event

TEXTS = st.sampled_from(["", "A3", "B 1"])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "bin": TEXTS.filter(bool),
        "note": TEXTS.filter(bool),
        "condition": st.sampled_from(Condition),
        "finish": st.sampled_from(Finish),
        "edition": st.sampled_from(Edition),
        "language": st.sampled_from(["en", "fr"]),
        "stock": st.sampled_from(Stock),
        "paid": st.builds(Money, minor=st.integers(0, 9), currency=st.just("EUR")),
        "slab": st.builds(Slab, grader=st.just("PSA"), grade=st.sampled_from(["9", "10"])),
        "card": st.sampled_from([FOX, OWL]),
    },
)
CLEARED: list[Clearable] = ["bin", "lot", "note", "condition", "finish", "paid", "slab"]


@st.composite
def item_values(draw: st.DrawFn) -> ItemValues:
    fields = draw(FIELDS)
    cleared = draw(st.sets(st.sampled_from(CLEARED)))
    return ItemValues(**fields, cleared=tuple(sorted(one for one in cleared if one not in fields)))


def counted(number: int) -> Item:
    tables = FoldedTables()
    scan = replace(accepted(), scan=UUID(int=number))
    tables.apply([logged_event(scan)])
    return tables.items["shop", scan.scan]


@given(st.lists(item_values(), min_size=1, max_size=6))
def test_what_is_changed_is_changed_back_in_turn(steps: list[ItemValues]) -> None:
    tables = FoldedTables()
    tables.apply([logged_event(replace(accepted(), scan=UUID(int=n))) for n in (1, 2)])
    done: list[tuple[list[ItemsGroup], dict[UUID, Item]]] = []
    cards = {one.id: one for one in (FOX, OWL)}
    for number, after in enumerate(steps):
        items = list(tables.items.values())
        groups = values.grouped(items, after, cards)
        assert {one for group in groups for one in group.items} == {
            item.item for item in items if replace(values.with_values(item, after)) != item
        }
        done.append((groups, {item.item: item for item in items}))
        for event in values.in_events(UUID(int=100 + number), "ann", groups):
            tables.apply([logged_event(event)])
        for item in tables.items.values():
            card = cards[item.card_id]
            assert values.current_values(item, after.fields, card).fields == after.fields
            assert values.with_values(item, after) == item
    for groups, before in reversed(done):
        back = values.reversed_groups(groups, set(before))
        for event in values.in_events(uuid4(), "ann", back):
            tables.apply([logged_event(event)])
        for item in tables.items.values():
            old = before[item.item]
            assert replace(item, version=0, changes=()) == replace(old, version=0, changes=())


def test_a_change_is_one_event_until_it_is_too_large() -> None:
    after = ItemValues(bin="B1")
    same = [replace(counted(1), item=UUID(int=n)) for n in range(2500)]
    other = [replace(counted(1), item=UUID(int=n), bin=f"{n:0200}") for n in range(400)]
    for items, count in ((same[:900], 1), (same, 3), (other, 6)):
        groups = values.grouped(items, after, {})
        events = values.in_events(UUID(int=1), "ann", groups)
        assert len(events) == count
        assert all(len(encode(event)) < MAX_EVENT_BYTES for event in events)
        assert [one for event in events for group in event.groups for one in group.items] == [
            item.item for item in items
        ]


def test_what_is_not_as_before_keeps_what_it_has() -> None:
    tables = FoldedTables()
    question = replace(doubtful(), scan=UUID(int=2))
    tables.apply([logged_event(replace(accepted(), scan=UUID(int=1))), logged_event(question)])
    before, after = ItemValues(bin="nowhere"), ItemValues(bin="B1")
    group = ItemsGroup(items=(UUID(int=1),), before=before, after=after)
    changes = tables.apply([logged_event(ItemsChanged(change=uuid4(), by="ann", groups=(group,)))])
    assert (changes.superseded, changes.items) == (1, {})
    group = ItemsGroup(
        items=(UUID(int=2),), before=ItemValues(card=FOX), after=ItemValues(card=OWL)
    )
    changes = tables.apply([logged_event(ItemsChanged(change=uuid4(), by="ann", groups=(group,)))])
    assert (changes.superseded, changes.items) == (1, {}), "what is asked about is answered"
    group = replace(group, items=(UUID(int=9),))
    event = ItemsChanged(change=uuid4(), by="ann", groups=(group,))
    assert tables.apply([logged_event(event)]).refused[0].reason == "unknown-item"
    assert touched_keys([("shop", event)]) == ([("shop", UUID(int=9))], [])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ItemValues(bin="A", cleared=("bin",)),
        lambda: ItemValues(cleared=("bin", "bin")),
        lambda: ItemsGroup(
            items=(UUID(int=1),), before=ItemValues(bin="A"), after=ItemValues(lot="B")
        ),
    ],
)
def test_values_are_set_or_cleared_once(wrong: type) -> None:
    with pytest.raises(ValueError, match=r"once|same fields"):
        wrong()


async def versions(pool: Pool) -> dict[UUID, int]:
    found = await TenantDatabase(pool, "shop").fetch(
        "SELECT item, version FROM items WHERE tenant = 'shop'"
    )
    return {row["item"]: row["version"] for row in found}


async def held(pool: Pool) -> int:
    return int(
        await TenantDatabase(pool, "shop").fetchval(
            "SELECT coalesce(sum(count), 0)::int FROM holdings"
        )
    )


@pytest.mark.integration
async def test_items_are_changed_and_changed_back(
    pool: Pool, owner: Pool, owner_database: str
) -> None:
    scans = [accepted() for _ in range(3)]
    await send(pool, *scans, accepted(OWL))
    pins = {scan.scan: 1 for scan in scans}
    after = ItemValues(
        bin="B1",
        stock=Stock.SOLD,
        paid=Money(minor=250, currency="EUR"),
        slab=Slab(grader="PSA", grade="9"),
        cleared=("condition",),
    )
    sold = await change_items(pool, "shop", pins, after, user="ann", now=NOW)
    assert (sold.items, await held(pool)) == (3, 1)
    again = await change_items(pool, "shop", dict.fromkeys(pins, 2), after, user="ann", now=NOW)
    assert (again.change, again.items) == (None, 0)
    renamed = await change_items(
        pool, "shop", {scans[0].scan: 2}, ItemValues(card=OWL), user="ben", now=NOW
    )
    assert renamed.items == 1
    assert sold.change is not None
    back = await undo_change(pool, "shop", sold.change, user="ben", now=NOW)
    assert (back.items, back.kept, await held(pool)) == (3, 0, 4)
    row = await owner.fetchrow("SELECT * FROM items WHERE item = $1", scans[0].scan)
    assert row is not None
    assert (row["card_id"], row["bin"], row["stock"], row["paid_minor"]) == (
        OWL.id,
        "",
        "in-stock",
        None,
    )
    assert list(row["changes"]) == [sold.change, renamed.change, back.change]
    assert back.change is not None
    forth = await undo_change(pool, "shop", back.change, user="ann", now=NOW)
    assert (forth.items, await held(pool)) == (3, 1)
    with pytest.raises(Conflict, match="changed again since"):
        await undo_change(pool, "shop", back.change, user="ann", now=NOW)
    comparison = await compare_with_log(owner_database)
    assert comparison.equal, comparison.first


@pytest.mark.integration
async def test_what_is_sold_is_worth_nothing_and_asked_about_no_more(
    pool: Pool, engine: AsyncEngine
) -> None:
    scans = [accepted(defaults=ScanDefaults(lot="estate")), accepted()]
    await send(pool, *scans)

    async def worth() -> tuple[int, list[str]]:
        async with reading(engine, "shop") as connection:
            lines = await valuation.counted_lines(connection, "shop", NOW)
            lots = await valuation.list_lots(connection, "shop")
            return sum(line.count for line in lines), lots

    assert await worth() == (2, ["estate"])
    sold = ItemValues(stock=Stock.SOLD)
    await change_items(pool, "shop", {scans[0].scan: 1}, sold, user="ann", now=NOW)
    assert await worth() == (1, [])


@pytest.mark.integration
async def test_what_cannot_be_changed_is_said_and_nothing_is(pool: Pool, database: str) -> None:
    scan, asked, elsewhere = accepted(), doubtful(), accepted()
    await send(pool, scan, asked)
    await send(pool, elsewhere, tenant="other")
    before = await versions(pool)
    stored = ItemValues(bin="B1")
    pins = {scan.scan: 1, asked.scan: 1}
    for chosen, after, error, said in (
        ({}, stored, Conflict, "nothing is chosen"),
        (pins, ItemValues(), Conflict, "nothing is chosen"),
        (pins | {asked.scan: 7}, stored, Conflict, "changed meanwhile: a card"),
        (pins, ItemValues(card=OWL), Conflict, "answer the question"),
        (pins | {uuid4(): 1}, stored, NotFound, "no card"),
        (pins | {elsewhere.scan: 1}, stored, NotFound, "no card"),
        ({uuid4(): 1 for _ in range(MAX_CHANGED + 1)}, stored, Conflict, "too many"),
    ):
        with pytest.raises(error, match=said):
            await change_items(pool, "shop", chosen, after, user="ann", now=NOW)
    with pytest.raises(NotFound, match="no change"):
        await undo_change(pool, "shop", uuid4(), user="ann", now=NOW)
    assert await versions(pool) == before
    moved = await change_items(pool, "shop", pins, stored, user="ann", now=NOW)
    other = ItemValues(bin="C1")
    await change_items(pool, "shop", {scan.scan: 2}, other, user="ann", now=NOW)
    assert moved.change is not None
    back = await undo_change(pool, "shop", moved.change, user="ann", now=NOW)
    assert (back.items, back.kept) == (1, 1)
    with pytest.raises(NotFound, match="no change"):
        await undo_change(pool, "other", moved.change, user="ann", now=NOW)


@pytest.mark.integration
async def test_a_printing_that_is_asked_about_is_not_taken_back(pool: Pool, owner: Pool) -> None:
    held, free = accepted(), accepted()
    await send(pool, held, free)
    pins = {held.scan: 1, free.scan: 1}
    made = await change_items(pool, "shop", pins, ItemValues(card=OWL), user="ann", now=NOW)
    assert made.change is not None
    asked = ReviewOpened(
        task=review_task_id(held.scan, "rules"),
        scan=held.scan,
        question=Question.PRINTING,
        reasons=("price",),
        by="rules",
        card=OWL,
        hold=True,
    )
    async with tenant_transaction(pool, "shop") as connection:
        sequence = await lock_user_stream(connection, "shop", "rules", NOW)
        await append_user_events(connection, "shop", "rules", [asked], now=NOW, sequence=sequence)
    back = await undo_change(pool, "shop", made.change, user="ann", now=NOW)
    assert (back.items, back.kept) == (1, 1)
    rows = await owner.fetch("SELECT item, status, card_id FROM items")
    assert {tuple(row) for row in rows} == {
        (held.scan, "review", OWL.id),
        (free.scan, "counted", FOX.id),
    }
    with pytest.raises(Conflict, match="asked about"):
        await undo_change(pool, "shop", made.change, user="ann", now=NOW)


@pytest.mark.integration
async def test_the_latest_changes_are_counted_whole(pool: Pool, engine: AsyncEngine) -> None:
    scans = [accepted(defaults=ScanDefaults(lot=f"{n:0190}")) for n in range(300)]
    await send(pool, *scans)
    pins = {scan.scan: 1 for scan in scans}
    await change_items(pool, "shop", pins, ItemValues(bin="A"), user="ann", now=NOW)
    pins = dict.fromkeys(pins, 2)
    await change_items(pool, "shop", pins, ItemValues(lot="estate"), user="ann", now=NOW)
    for latest in (1, 2, 99):
        async with reading(engine, "shop") as connection:
            found = await item_list.latest_changes(connection, "shop", latest=latest)
        assert [one["count"] for one in found] == [300, 300][: len(found)]


@pytest.mark.integration
async def test_a_station_changes_no_items(pool: Pool, owner: Pool) -> None:
    scan = accepted()
    await send(pool, scan)
    group = ItemsGroup(
        items=(scan.scan,), before=ItemValues(cleared=("bin",)), after=ItemValues(bin="B1")
    )
    forged: EventData = ItemsChanged(change=uuid4(), by="ann", groups=(group,))
    await send(pool, forged)
    assert await owner.fetchval("SELECT bin FROM items") == ""
    assert await owner.fetchval("SELECT reason FROM dead_letters") == "not-a-stations"
