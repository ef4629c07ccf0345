"""The second look: a larger reader at what stays uncertain."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.edge.readings import says

from cardmint_contracts.cards import Card
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.models import LanguageTrigrams
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.config import PolicyConfig, RecognitionConfig
from cardmint_edge.domain.decide import rank
from cardmint_edge.domain.evidence import PrintScores
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts, PrintedFacts
from cardmint_edge.domain.reading.ctc import Reading
from cardmint_edge.domain.reading.print_reader import Examined, PrintReader
from cardmint_edge.domain.reading.strips import LIKELIEST_NUMBERS
from cardmint_edge.domain.recognise import CardRecogniser
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import CardView, StripPlace, View
from cardmint_edge.recogniser import Recognisers
from cardmint_lab.recognition.samples import ReducedGallery

CARDS = {
    f"a-{number}": Card(id=f"a-{number}", name="Cat", number=number, set_id="a", set_name="A")
    for number in ("1", "2", "3")
}


def card_view(height: int = 840) -> CardView:
    frame = np.zeros((height, height * 5 // 7, 3), np.uint8)
    return View(frame).at(Quad.upright(frame.shape[1], height))


def reader_of(texts: dict[float, str]) -> PrintReader:
    """A reader that says a text at each place from a share of the card's height on."""
    facts = [
        PrintedFacts(card_id=one.id, name=one.name, number=one.number, total=102, promo=False)
        for one in CARDS.values()
    ]

    def cut(_: CardView, place: StripPlace) -> NDArray[np.float32]:
        return np.full(1, place.middle, np.float32)

    def read(middle: NDArray[np.float32]) -> Reading:
        return says(next(said for top, said in reversed(texts.items()) if middle[0] >= top))

    return PrintReader(read, CatalogueTexts(facts), cut=cut)


def looks(
    reader: PrintReader, card: CardView, card_of: Callable[[str], Card | None] = CARDS.get
) -> list[dict[str, PrintScores]]:
    return [examined.scores for examined, _ in reader.look_again([card], [CARDS["a-1"]], card_of)]


def test_given_printings_are_scored_and_those_that_print_names() -> None:
    reader = reader_of({0.0: "Cat", 0.5: "", 0.9: "2/102"})
    found, *_ = looks(reader, card_view())
    assert set(found) == {"a-1", "a-2", "a-3"}
    assert found["a-2"].number > -1 > found["a-1"].number
    assert found["a-2"].number_lead > 0
    assert found["a-1"].name == found["a-2"].name > -1
    few, *_ = looks(reader, card_view(), lambda _: None)
    assert set(few) == {"a-1"}
    assert looks(reader, card_view(400)) == []


def test_more_is_read_where_the_likeliest_strips_leave_it_open() -> None:
    middles = [one.middle for one in LIKELIEST_NUMBERS]
    reader = reader_of({0.0: "Cat", 0.5: "", 0.94: "2/102", min(middles): ""})
    first, more = looks(reader, card_view())
    assert more["a-2"].number > first["a-2"].number


def test_the_most_legible_place_is_read() -> None:
    reader = reader_of({0.0: "Cat and Dog", 0.5: "", 0.9: "2/102"})
    blank = reader_of({0.0: ""})
    first, second = card_view(), card_view()
    places = [card_view(400), first, second]
    assert {id(at) for _, at in reader.look_again(places, [], CARDS.get)} == {id(first)}
    assert {id(at) for _, at in blank.look_again([first, second], [], CARDS.get)} == {id(first)}
    turns = iter([*[""] * 4, *["Cat", "2/102", "Cat", "2/102"], *["Cat", "2/102"] * 20])
    cards = CatalogueTexts(
        PrintedFacts(card_id=one.id, name=one.name, number=one.number, total=102, promo=False)
        for one in CARDS.values()
    )
    elsewhere = PrintReader(lambda _: says(next(turns)), cards)
    assert {id(at) for _, at in elsewhere.look_again([first, second], [], CARDS.get)} == {
        id(second)
    }
    nothing = PrintReader(lambda _: says(""), CatalogueTexts([]))
    [(examined, _)] = nothing.look_again([first, second], [], CARDS.get)
    assert examined.scores == {}


@pytest.fixture(scope="module")
def recognisers(fictional: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recognisers]:
    path = tmp_path_factory.mktemp("second") / "pack.sqlite"
    shutil.copy(fictional / "pack.sqlite", path)
    with closing(Pack(path)) as pack:
        yield Recognisers(pack)


@pytest.fixture
def scan(fictional: Path) -> Frame:
    return read_image(fictional / "images" / "drk-9.jpg")


def test_a_card_that_the_station_s_reader_cannot_read_is_named_by_the_larger_one(
    recognisers: Recognisers, fictional: Path, scan: Frame
) -> None:
    with closing(Pack(fictional / "pack.sqlite")) as pack:
        texts = CatalogueTexts(pack.prints())
        blank = PrintReader(lambda _: says(""), texts)
        row = pack.row("drk-9")
        assert row is not None
        recogniser = CardRecogniser(
            ReducedGallery(pack, {row}),
            clock=time.perf_counter,
            print_reader=blank,
            second_look=recognisers.second_look(texts),
        )
        seen, grew = recogniser.observe(scan)
        assert "second_look" in seen.ms
        before = {one.card.id: one for one in grew[-2].candidates}
        after = {one.card.id: one for one in grew[-1].candidates}
        own = after["drk-9"].prints
        assert own is not None
        assert own.name > -5
        assert "drk-9" not in before or before["drk-9"].prints != own
        assert set(before) < set(after)


def test_a_card_that_is_certain_is_not_looked_at_again(
    recognisers: Recognisers, fictional: Path, scan: Frame
) -> None:
    with closing(Pack(fictional / "pack.sqlite")) as pack:
        seen, _ = recognisers.over(pack).observe(scan)
        assert seen.models["second_look"].startswith("PP-OCR")
        assert seen.confidence > 0.95
        assert "second_look" not in seen.ms


def test_nothing_is_read_without_it_where_nothing_lies_or_on_a_small_card(
    recognisers: Recognisers, fictional: Path, scan: Frame
) -> None:
    with closing(Pack(fictional / "pack.sqlite")) as pack:
        without = Recognisers(pack, second_look=False).over(pack)
        assert "second_look" not in without.recognise(scan).models
        assert len(without.observe(scan, thorough=True)[1]) == 3
        recogniser = recognisers.over(pack)
        empty = np.full((400, 400, 3), 90, np.uint8)
        assert len(recogniser.observe(empty, thorough=True)[1]) == 2
        assert len(recogniser.observe(scan[::3, ::3].copy(), thorough=True)[1]) == 2
        assert len(recogniser.observe(scan, thorough=True)[1]) == 4


class ReadsElsewhere(PrintReader):
    """A larger reader that reads nothing but at the last place, and names another printing."""

    def __init__(self) -> None:
        self.looks = 0

    def look_again(
        self,
        places: Iterable[CardView],
        printings: list[Card],
        card_of: Callable[[str], Card | None],
    ) -> Iterator[tuple[Examined, CardView]]:
        *_, last = places
        named = card_of("emb-31")
        assert named is not None
        assert card_of("of-another-pack") is None
        unread = PrintScores(number=-11.0, number_lead=-9.0, name=-9.0, name_lead=-9.0)
        scores = {one.id: unread for one in [*printings, named]}
        for self.looks in (1, 2):
            yield Examined(scores=scores, languages={}), last


def test_print_may_lie_elsewhere_and_name_another_printing(fictional: Path, scan: Frame) -> None:
    with closing(Pack(fictional / "pack.sqlite")) as pack:
        reader = ReadsElsewhere()
        open_to_the_end = RecognitionConfig(policy=PolicyConfig(accept=1.1, worth_reading=0.0))
        recogniser = CardRecogniser(
            pack, clock=time.perf_counter, second_look=reader, config=open_to_the_end
        )
        _, grew = recogniser.observe(scan, thorough=True)
        assert reader.looks == 2
        best = rank(grew[-1], PolicyConfig()).likeliest
        assert best is not None
        assert best.card.id == "drk-9"
        assert {"drk-9", "emb-31"} <= {one.card.id for one in grew[-1].candidates}


def test_the_language_stays_open_where_no_text_is_read(fictional: Path, scan: Frame) -> None:
    with closing(Pack(fictional / "pack.sqlite")) as pack:
        recogniser = CardRecogniser(
            pack,
            clock=time.perf_counter,
            print_reader=PrintReader(lambda _: says(""), CatalogueTexts(pack.prints())),
            trigrams=LanguageTrigrams(),
        )
        languages = recogniser.recognise(scan).languages
        assert languages is not None
        assert set(languages.values()) == {0.0}


def test_a_close_up_is_read_where_there_is_a_reader(
    recognisers: Recognisers, fictional: Path, scan: Frame
) -> None:
    height = scan.shape[0]
    lower_edge = np.asarray(cv2.resize(scan[height * 3 // 4 :], None, fx=2, fy=2), np.uint8)
    with closing(Pack(fictional / "pack.sqlite")) as pack:
        read = recognisers.over(pack).read_close_up(lower_edge)
        assert read is not None
        assert (read.number, read.cards) == ("009/020", ("drk-9",))
        blind = CardRecogniser(pack, clock=time.perf_counter)
        assert blind.read_close_up(lower_edge) is None
