"""The query language: what it finds is what a plain reading of the items finds."""

import asyncio
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.queries import item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.folding import folded
from cardmint_cloud.domain.item_query import (
    KEYWORDS,
    MAX_QUERY,
    ItemQuery,
    Kind,
    QueryFault,
    Term,
    parse_query,
    with_term,
)
from cardmint_cloud.item_changes import change_items
from cardmint_contracts.cards import Card, Condition, Finish, Image, Money, ScanDefaults
from cardmint_contracts.changes import ItemValues, Slab, Stock
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.prices import QuoteSourceStub, price_due, quote

TODAY = date(2026, 11, 27)


def terms(text: str) -> list[tuple[Any, ...]]:
    found = parse_query(text, TODAY).terms
    return [(one.negated, one.keyword, one.operator, *one.values) for one in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("  ", []),
        ("fox", [(False, "", "=", "fox")]),
        ("Flabébé 12,5", [(False, "", "=", "Flabébé"), (False, "", "=", "12,5")]),
        ('-"two words" x', [(True, "", "=", "two words"), (False, "", "=", "x")]),
        ("set:PAF,base1", [(False, "set", "=", "PAF", "base1")]),
        ('LOT:"a, b",c', [(False, "lot", "=", "a, b", "c")]),
        ("price>=2.50 paid<1", [(False, "price", ">=", Decimal("2.50")), (False, "paid", "<", 1)]),
        ("-condition:NM,near_mint", [(True, "condition", "=", "near_mint", "near_mint")]),
        ("finish:open", [(False, "finish", "=", "")]),
        ("54/108", [(False, "", "=", "54/108")]),
        ('x "or" order', [(False, "", "=", one) for one in ("x", "or", "order")]),
        ("or", None),
        ("or x", None),
        ("x or", None),
        ("x or or y", None),
        ("x or order:name", None),
        ("x OR y " * 16, None),
        ("re:zero", None),
        ("bin:", None),
        ("bin:a,", None),
        ('bin:"a', None),
        ("bin>a", None),
        ("price:much", None),
        ("price:NaN", None),
        ("price:1e99", None),
        ("price:1e9999999", None),
        ("price<1e-999999", None),
        ("is:nice", None),
        ("stock<sold", None),
        ("scanned:yesterday", None),
        ("scanned:2026-13", None),
        ("scanned:9999999d", None),
        ("scanned:9999-12-31", None),
        ("order:colour", None),
        ("-", None),
        ('""', None),
        ("x " * 31, None),
        ("x" * (MAX_QUERY + 1), None),
        ("bin:" + ",".join("abc"[n % 3] for n in range(51)), None),
        ("x\x00y", [(False, "", "=", "x"), (False, "", "=", "y")]),
    ],
)
def test_a_query_is_read_or_its_fault_named(text: str, found: list[Any] | None) -> None:
    if found is not None:
        assert terms(text) == found
        return
    with pytest.raises(QueryFault) as caught:
        parse_query(text, TODAY)
    assert 0 <= caught.value.start < caught.value.end <= max(len(text), 1)
    assert str(caught.value)


def test_or_joins_neighbours_before_all_must_hold() -> None:
    first, last = parse_query("bin:A or -fox OR lot:B order:name note:x", TODAY).terms
    assert [(one.keyword, one.negated) for one in first.others] == [("", True), ("lot", False)]
    assert (first.keyword, last.keyword, last.others) == ("bin", "note", ())


@given(st.text(max_size=60) | st.text('abinprcesto:<>=-",.*0123 ', max_size=40))
def test_any_text_is_a_query_or_a_fault_within_it(text: str) -> None:
    found: ItemQuery | QueryFault
    try:
        found = parse_query(text, TODAY)
    except QueryFault as fault:
        found = fault
    if isinstance(found, QueryFault):
        assert 0 <= found.start < max(1, found.end) <= max(1, len(text))


def test_a_keyword_that_is_nearly_right_is_named() -> None:
    for text, meant in (("languag:en", "lang"), ("pric>2", "price"), ("conditon:nm", "condition")):
        with pytest.raises(QueryFault, match=f"did you mean `{meant}:`"):
            parse_query(text, TODAY)
    with pytest.raises(QueryFault, match=r"no keyword `zz`$"):
        parse_query("zz:1", TODAY)


def test_a_query_is_narrowed_by_one_more_condition() -> None:
    assert with_term("", "bin", "A1") == "bin:A1"
    assert with_term("fox ", "lot", "estate, sale") == 'fox lot:"estate, sale"'
    assert with_term("fox", "finish", "") == "fox finish:open"
    for name, value in (("bin", ""), ("bin", 'a"b'), ("bin", "A*"), ("lot", "x" * MAX_QUERY)):
        assert with_term("", name, value) == ""


def test_spans_of_time_and_orders() -> None:
    def span(text: str) -> tuple[date, date]:
        (term,) = parse_query(f"scanned:{text}", TODAY).terms
        (first,) = term.values
        assert isinstance(first, datetime)
        return first.date(), term.ends[0].date()

    assert span("today") == (TODAY, date(2026, 11, 28))
    assert span("7d") == (date(2026, 11, 20), date(2026, 11, 28))
    (later,) = parse_query("scanned>7d", TODAY).terms
    assert later.ends[0].date() == date(2026, 11, 21), "after that day, not after today"
    assert span("2026-12") == (date(2026, 12, 1), date(2027, 1, 1))
    assert span("2024-02-29") == (date(2024, 2, 29), date(2024, 3, 1))
    for text, order in (
        ("", ("received", True)),
        ("order:price", ("price", False)),
        ("order:-price", ("price", True)),
        ("-order:price", ("price", True)),
        ("-order:-price order:name", ("name", False)),
    ):
        query = parse_query(text, TODAY)
        assert (query.order, query.descending) == order


def test_each_keyword_has_an_example_that_is_read() -> None:
    for name, keyword in KEYWORDS.items():
        assert name in keyword.example
        parse_query(keyword.example, TODAY)
        assert bool(keyword.codes) == (keyword.kind in {Kind.CODE, Kind.FLAG, Kind.ORDER})


BLOSSOM = Card(
    id="fic2-54", name="Flabébé Blossom", number="054/108", set_id="fic2", set_name="Second Dawn"
)
CARDS = {one.id: one for one in (FOX, OWL, BLOSSOM)}


async def stocked(pool: Pool) -> None:
    """Put items of every kind into the tenant's inventory, and one into another's."""
    scans = [
        accepted(FOX, defaults=ScanDefaults(bin="A1", lot="estate", language="en"), confidence=0.9),
        accepted(
            OWL,
            defaults=ScanDefaults(
                bin="A12", condition=Condition.NEAR_MINT, finish=Finish.HOLO, language="fr"
            ),
            confidence=0.99,
            image=Image(sha256="ab" * 32, bytes=9, width=9, height=9),
        ),
        accepted(BLOSSOM, defaults=ScanDefaults(bin="b_1", condition=Condition.DAMAGED)),
        accepted(BLOSSOM),
        doubtful(),
    ]
    await send(pool, *scans[:3], time=NOW - timedelta(days=40))
    await send(pool, *scans[3:], station="right")
    await send(pool, accepted(), tenant="other")
    changed = {
        0: ItemValues(stock=Stock.SOLD, paid=Money(minor=250, currency="EUR"), note="a Crease 5%"),
        2: ItemValues(slab=Slab(grader="PSA", grade="10"), paid=Money(minor=300, currency="JPY")),
        3: ItemValues(bin="Ämter 1", lot="ΣΊΣΥΦΟΣ", note="Große Ёлка, Ł"),
        4: ItemValues(bin="A1"),
    }
    for place, after in changed.items():
        await change_items(pool, "shop", {scans[place].scan: 1}, after, user="ann", now=NOW)
    provider = QuoteSourceStub(
        answers={FOX.id: [quote(500)], BLOSSOM.id: [quote(1234, currency="JPY")]}
    )
    await price_due(pool, provider, NOW)


QUERIES = st.lists(
    st.sampled_from(
        [
            *("fox", "-fox", "flabebe", "FLABÉBÉ", "54/108", "54", "fic2", "crease", "estate"),
            *("fox owl", '"second dawn"', "5%", "A1", "_", "set:fic1", "set:SECOND*", "number:54"),
            *("number:054", "number:54/108", "number:05*"),
            *("card:fic1-7", "lang:en,fr", "-lang:en", "finish:open", "finish:holo"),
            *("condition:nm,dmg", "-condition:open", "bin:a1", "bin:A*", "bin:b_*", "bin:_*"),
            *("lot:Estate", "note:CREASE", "station:right", "status:review", "-status:counted"),
            *("stock:sold", "-stock:sold", "grader:psa", "grade:10", "price>5", "price>=5"),
            *("price:5", "price<1000", "-price<6", "paid>2", "paid:2.5", "paid<=300"),
            *("confidence>0.95", "confidence<0.95", "scanned:today", "scanned<7d", "-scanned:7d"),
            *("scanned>=2026-10", "scanned>2026-10", "scanned<=2026-10", "is:priced"),
            *("is:unpriced", "is:graded,noted", "-is:pictured", "is:changed", "is:paid"),
            *("edition:open", "edition:first", "ämter", "AMTER", "a\u0308mter", "große", "GROSSE"),
            *("bin:ÄMT*", 'bin:"amter 1"', "lot:σίσυφος", "note:ёЛКА", "note:ł", "set:SÉCOND*"),
        ]
    ),
    max_size=3,
)


def fits(row: RowMapping, term: Term) -> bool:
    """Return whether an item fits a term, or another that `or` joins to it, read plainly."""
    return any(_fits_one(row, one) for one in (term, *term.others))


def _fits_one(row: RowMapping, term: Term) -> bool:
    result = any(
        _fits(row, term, value, end)
        for value, end in zip(term.values, term.ends or (None,) * len(term.values), strict=True)
    )
    return result != term.negated


def _fits(row: RowMapping, term: Term, value: Any, end: datetime | None) -> bool:
    name = term.keyword
    if name == "":
        printed = (
            f"{row['name']} {row['number']} {row['set_name']} {row['set_id']} {row['card_id']}"
        )
        wanted = value.lower().replace("é", "e")
        plain = printed.lower().replace("é", "e").replace("054", "54")
        in_print = bool(row["name"]) and all(word in plain for word in wanted.split())
        return in_print or any(
            plainly(value) in plainly(row[own]) for own in ("bin", "lot", "note")
        )
    if name == "is":
        flags = {
            "priced": row["minor"] is not None,
            "unpriced": row["minor"] is None,
            "graded": bool(row["grader"]),
            "noted": bool(row["note"]),
            "changed": bool(row["changes"]),
            "pictured": bool(row["image"]),
            "paid": row["paid_minor"] is not None,
        }
        return flags[value]
    if name == "scanned":
        at = row["captured_at"]
        assert end is not None
        held = {
            "=": value <= at < end,
            "<": at < value,
            "<=": at < end,
            ">": at >= end,
            ">=": at >= value,
        }
        return bool(held[term.operator])
    if KEYWORDS[name].kind is Kind.NUMBER:
        number = {
            "price": _amount(row["minor"], row["currency"]),
            "paid": _amount(row["paid_minor"], row["paid_currency"]),
            "confidence": Decimal(str(row["confidence"])),
        }[name]
        compare: dict[str, Callable[[Decimal, Decimal], bool]] = {
            "=": Decimal.__eq__,
            "<": Decimal.__lt__,
            "<=": Decimal.__le__,
            ">": Decimal.__gt__,
            ">=": Decimal.__ge__,
        }
        return number is not None and bool(compare[term.operator](number, value))
    if name == "note":
        return plainly(value) in plainly(row["note"])
    if name == "set":
        return bool(row["set_id"]) and any(
            _alike(row[one], value) for one in ("set_id", "set_name")
        )
    if name == "number":
        printed = row["number"].split("/")[0].lstrip("0")
        return bool(printed) and _alike(printed, value.split("/")[0].lstrip("0"))
    text = row[{"lang": "language", "card": "card_id"}.get(name, name)]
    return _alike(text, value) if KEYWORDS[name].kind is Kind.WORD else bool(text == value)


def _alike(text: str, wanted: str) -> bool:
    text, wanted = plainly(text), plainly(wanted)
    return text.startswith(wanted[:-1]) if wanted.endswith("*") else text == wanted


def plainly(text: str) -> str:
    parted = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in parted if unicodedata.category(letter) != "Mn")


def _amount(minor: int | None, currency: str) -> Decimal | None:
    return None if minor is None else Decimal(minor) / (1 if currency == "JPY" else 100)


@pytest.mark.integration
async def test_the_database_folds_as_we_do(pool: Pool) -> None:
    """Whatever its locale: those of the tests are made with C."""
    texts = {*"ÄÖÜßẞςΣİıǄﬁⅣŉЁéŁØ가½", "e\u0301", "ﾃﾞ", "\u0345", "A\u0308A"}

    @settings(max_examples=300, database=None)
    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
    def draw(text: str) -> None:
        texts.add(text)

    await asyncio.get_running_loop().run_in_executor(None, draw)
    statement = "SELECT text, cardmint_folded(text) AS found FROM unnest($1::text[]) AS text"
    for text, found in await pool.fetch(statement, sorted(texts)):
        assert found == folded(text), repr(text)
    assert folded("FLABÉBÉ Große ΣΊΣΥΦΟΣ Ёлка") == "flabebe grosse σισυφοσ елка"


@pytest.mark.integration
async def test_a_query_finds_what_a_plain_reading_finds(pool: Pool, engine: AsyncEngine) -> None:
    await stocked(pool)
    today = NOW.date()
    async with reading(engine, "shop") as connection:
        everything = await item_list.item_page(connection, "shop", ItemQuery(), limit=99)
        assert len(everything) == 5
        loop = asyncio.get_running_loop()

        async def found(query: ItemQuery) -> tuple[list[Any], int, Sequence[Any], int]:
            page = await item_list.item_page(connection, "shop", query, limit=99)
            totals = await item_list.item_totals(connection, "shop", query)
            pins = await item_list.item_versions(connection, "shop", query, limit=99)
            streamed = [row async for row in item_list.stream_items(connection, "shop", query)]
            return [row["item"] for row in page], totals.items, list(pins), len(streamed)

        samples = set[str]()

        @settings(max_examples=150, suppress_health_check=list(HealthCheck), database=None)
        @given(QUERIES)
        def draw(texts: list[str]) -> None:
            samples.add(" ".join(texts))
            samples.add(" or ".join(texts[:2]) + " ".join(["", *texts[2:]]))

        await loop.run_in_executor(None, draw)
        for text in sorted(samples):
            query = parse_query(text, today)
            wanted = {
                row["item"] for row in everything if all(fits(row, one) for one in query.terms)
            }
            page, total, pins, streamed = await found(query)
            assert (set(page), len(page)) == (wanted, len(wanted)), text
            assert (total, pins, streamed) == (len(wanted), page, len(wanted)), text


@pytest.mark.integration
@pytest.mark.parametrize("text", ["bin:Ä1", "bin:Ä*", "lot:İstanbul", "note:É", "Ä1", "set:Ärger"])
async def test_capitals_are_found_as_they_are_written(
    pool: Pool, engine: AsyncEngine, text: str
) -> None:
    card = Card(id="x-1", name="Fox", number="1", set_id="x", set_name="Ärger")
    scan = accepted(card, defaults=ScanDefaults(bin="Ä1", lot="İstanbul"))
    await send(pool, scan)
    noted = ItemValues(note="CAFÉ")
    await change_items(pool, "shop", {scan.scan: 1}, noted, user="ann", now=NOW)
    async with reading(engine, "shop") as connection:
        found = await item_list.item_totals(connection, "shop", parse_query(text, TODAY))
        assert found.items == 1


@pytest.mark.integration
async def test_orders_and_totals(pool: Pool, engine: AsyncEngine) -> None:
    await stocked(pool)
    async with reading(engine, "shop") as connection:

        async def names(text: str) -> list[str]:
            query = parse_query(text, NOW.date())
            return [
                row["number"]
                for row in await item_list.item_page(connection, "shop", query, limit=99)
            ]

        assert await names("order:number is:priced") == ["007/040", "054/108", "054/108"]
        assert await names("order:-number is:priced") == ["054/108", "054/108", "007/040"]
        for order in KEYWORDS["order"].codes:
            assert sorted(await names(f"order:{order}")) == sorted(await names(f"order:-{order}"))
        totals = await item_list.item_totals(connection, "shop", ItemQuery())
        assert (totals.items, totals.unpriced) == (5, 2)
        assert [(one.currency, one.minor) for one in totals.worth] == [("USD", 500), ("JPY", 2468)]
