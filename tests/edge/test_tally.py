"""The figures of the work at hand: pace, session, lot and its value."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from tests.edge.kit.scans import NOW, scan_of

from cardmint_contracts.cards import Card, Decision, Money, ScanDefaults
from cardmint_contracts.events import CardScanned
from cardmint_contracts.prices import LastPrice
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.domain.tally import NO_FIGURES, Figures, TalliedScan, Tally
from cardmint_edge.figures import KEEPS, FiguresReader
from cardmint_edge.review_tasks import ScanAnswer

START = datetime(2026, 11, 27, 9, tzinfo=UTC)


def scan(number: int, seconds: float, lot: str = "", *, cents: int | None = None) -> TalliedScan:
    price = None if cents is None else Money(minor=cents, currency="EUR")
    return TalliedScan(
        scan=UUID(int=number),
        time=START + timedelta(seconds=seconds),
        lot=lot,
        counted=True,
        price=price,
    )


def test_before_the_first_card_all_is_zero() -> None:
    assert Tally(10).figures("", START) == NO_FIGURES


def test_the_pace_is_over_the_last_five_minutes() -> None:
    tally = Tally(1000)
    for number in range(20):
        tally.put(scan(number, 6.0 * number))
    assert tally.figures("", START + timedelta(seconds=120)).per_minute == 10
    assert tally.figures("", START + timedelta(seconds=114 + 301)).per_minute == 0
    assert tally.figures("", START + timedelta(seconds=5 * 60 + 54)).per_minute == 11 / 5
    alone = Tally(10)
    alone.put(scan(1, 0))
    assert alone.figures("", START).per_minute == 1, "not sixty in the first second"


def test_a_pause_of_half_an_hour_ends_the_session() -> None:
    tally = Tally(10)
    tally.put(scan(1, 0))
    tally.put(scan(2, 1800))
    assert tally.figures("", START + timedelta(minutes=31)).session == 2
    assert tally.figures("", START + timedelta(minutes=61)).session == 0
    tally.put(scan(3, 3601 + 1800))
    assert tally.figures("", START + timedelta(seconds=5402)).session == 1


def test_a_lot_has_its_cards_and_value_until_one_is_taken_back() -> None:
    tally = Tally(10)
    tally.put(scan(1, 0, "A", cents=250))
    tally.put(scan(2, 1, "A", cents=125))
    tally.put(scan(3, 2, "A"))
    tally.put(scan(4, 3, "B", cents=900))
    now = START + timedelta(seconds=4)
    lot = tally.figures("A", now)
    assert (lot.lot_cards, lot.lot_value) == (3, (Money(minor=375, currency="EUR"),))
    tally.put(replace(scan(1, 0, "A", cents=250), counted=False))
    lot = tally.figures("A", now)
    assert (lot.lot_cards, lot.lot_value) == (2, (Money(minor=125, currency="EUR"),))
    assert (lot.session, lot.lot_incomplete) == (4, False)
    tally.began_before("A")
    assert tally.figures("A", now).lot_incomplete
    assert tally.figures("never", now) == Figures(
        per_minute=4.0, session=4, lot="never", lot_cards=0, lot_value=()
    )


def test_old_scans_are_forgotten_and_still_add_up() -> None:
    tally = Tally(3)
    for number in range(10):
        tally.put(scan(number, number, "A", cents=100))
    assert tally.figures("A", START).lot_cards == 10


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5), st.booleans(), st.sampled_from(["A", "B"]), st.integers(0, 300)
        ),
        max_size=30,
    )
)
def test_a_lot_is_the_sum_of_what_its_scans_are_now(
    changes: list[tuple[int, bool, str, int]],
) -> None:
    tally, now = Tally(100), dict[int, TalliedScan]()
    for number, counted, lot, cents in changes:
        now[number] = replace(scan(number, 0, lot, cents=cents), counted=counted)
        tally.put(now[number])
    for lot in ("A", "B"):
        of_lot = [one for one in now.values() if one.lot == lot and one.counted]
        total = sum(one.price.minor for one in of_lot if one.price)
        figures = tally.figures(lot, START)
        assert figures.lot_cards == len(of_lot)
        assert sum(money.minor for money in figures.lot_value) == total


class History:
    def __init__(self) -> None:
        self.records: list[ScanRecord] = []
        self.withdrawn: set[UUID] = set()

    def add(self, event: CardScanned) -> None:
        self.records.append(
            ScanRecord(
                position=len(self.records) + 1,
                sequence=1,
                time=NOW,
                scan=event,
                withdrawn=event.scan in self.withdrawn,
            )
        )

    def scans_after(self, position: int, count: int) -> list[ScanRecord]:
        return [record for record in self.records if record.position > position][-count:]

    def withdrawn_scans(self) -> set[UUID]:
        return set(self.withdrawn)


def event_of(number: int, lot: str = "A", **changes: object) -> CardScanned:
    return changed(scan_of(number), defaults=ScanDefaults(lot=lot), **changes)


def price_of(card: str, _: ScanDefaults) -> LastPrice | None:
    if card == "set1-2":
        return None
    return LastPrice(card=card, price=Money(minor=100, currency="EUR"), as_of=NOW, source="tcgdex")


def test_the_figures_follow_scans_answers_and_what_is_taken_back() -> None:
    history = History()
    reader = FiguresReader(history, price_of)
    assert reader.read("A", NOW, {}) == Figures(lot="A")
    history.add(event_of(1))  # no price
    history.add(event_of(2))
    history.add(event_of(3, decision=Decision.REVIEW, card=None))
    history.add(event_of(4, possible_duplicate_of=UUID(int=2)))
    figures = reader.read("A", NOW, {})
    assert (figures.session, figures.lot_cards) == (4, 2)
    assert figures.lot_value == (Money(minor=100, currency="EUR"),)
    card = Card(id="set1-4", name="Card 4")
    answers = {
        UUID(int=3): ScanAnswer(card=card, by="anna"),
        UUID(int=1): ScanAnswer(card=None, by="anna"),
    }
    figures = reader.read("A", NOW, answers)
    assert (figures.lot_cards, figures.lot_value[0].minor) == (2, 200)
    history.withdrawn = {UUID(int=2)}
    figures = reader.read("A", NOW, answers)
    assert (figures.lot_cards, figures.lot_value[0].minor) == (1, 100)
    assert reader.read("A", NOW, {}).lot_cards == 1
    assert reader.read("B", NOW, {}).lot_cards == 0


def test_a_lot_that_began_before_the_history_is_incomplete() -> None:
    history = History()
    for number in range(1, KEEPS + 3):
        history.add(event_of(number))
    history.withdrawn = {UUID(int=1000)}
    reader = FiguresReader(history, price_of)
    figures = reader.read("A", NOW, {})
    assert (figures.lot_cards, figures.lot_incomplete) == (KEEPS - 1, True)
    history.add(event_of(2000))
    assert reader.read("A", NOW, {}).lot_cards == KEEPS
