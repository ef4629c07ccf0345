"""The reader: forms of print, scores of texts, strips, and what a model must be."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.edge.readings import says

from cardmint_contracts.cards import Card, Decision
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.models import FOLDER, CardFinder, ModelUnusable, TextReader
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.reading.attacks import Moves, attack_leads
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts, PrintedFacts, TextIndex
from cardmint_edge.domain.reading.clear_numbers import clear_numbers, read_numbers, unpadded
from cardmint_edge.domain.reading.ctc import Reading, text_scores
from cardmint_edge.domain.reading.lexicon import ALPHABET, codes, number_forms, plain
from cardmint_edge.domain.reading.print_reader import CardReadings, Examined, PrintReader
from cardmint_edge.domain.reading.strips import NAMES, NUMBERS, normalised_strip
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import CardView, StripPlace, View
from cardmint_edge.recogniser import recogniser_of

CLASSES = len(ALPHABET) + 1


def test_a_reading_of_a_text_is_explained_best_by_it() -> None:
    for text in ("11/102", "041/072", "TG12/TG30", "SWSH182"):
        forms = [text, *(text.replace(one, other) for one, other in pairwise("0123456789"))]
        forms = list(dict.fromkeys(forms))
        scores = text_scores([says(text)], forms, number=True)[0]
        assert scores[0] == pytest.approx(0, abs=0.5)
        assert (scores[1:] < scores[0] - 3).all()


def test_a_number_is_found_beside_other_words_but_not_inside_another_number() -> None:
    whole, part, cut_short = text_scores(
        [says("Illus. Ken 11/102")], ["11/102", "1/102", "11/10"], number=True
    )[0]
    assert whole > -1.5
    assert max(part, cut_short) < whole - 5
    framed = text_scores([says("E041/072")], ["041/072"], number=True)[0]
    assert framed[0] > -1


def test_the_longer_name_explains_more() -> None:
    dark, plain_name, other = text_scores(
        [says("BASIC Dark Kadabra")], ["Dark Kadabra", "Kadabra", "Dark Alakazam"], number=False
    )[0]
    assert dark > plain_name > other


def test_the_forward_algorithm_sums_over_all_paths() -> None:
    rng = np.random.default_rng(3)
    reading = rng.dirichlet(np.ones(CLASSES), 3).astype(np.float32)
    a = codes("A")[0]
    # Every path of three steps that ends in "A": blanks, a run of A, blanks; and what else may
    # stand around it.
    total = 0.0
    for path in np.ndindex(2, 2, 2):
        runs = "".join("A" if step else "-" for step in path).strip("-")
        if runs and "-" not in runs:
            total += float(np.prod([reading[i, a if step else 0] for i, step in enumerate(path)]))
    score = text_scores([reading], ["A"], number=False)[0, 0] + np.log(reading.max(axis=1)).sum()
    assert np.exp(score) >= total * 0.999
    assert text_scores([reading], [], number=True).shape == (1, 0)


def test_a_text_scores_the_same_whatever_is_scored_beside_it() -> None:
    texts = ["Cat", "Catty and Dogge", "A", "Mew"]
    readings = [says("Cat and Dog"), says("A Mew")]
    together = text_scores(readings, texts, number=False)
    alone = [text_scores(readings, [text], number=False)[:, 0] for text in texts]
    assert together == pytest.approx(np.stack(alone, axis=1))


@pytest.mark.parametrize(
    ("number", "total", "promo", "forms"),
    [
        ("4", 102, False, ("4/102", "004/102")),
        ("TG12", 30, False, ("TG12", "TG12/TG30", "TG12/30")),
        ("SWSH182", None, True, ("SWSH182",)),
        ("H9", 32, False, ("H9/H32", "H9/32")),
        ("31", None, True, ("31", "031")),
        ("ONE", None, False, ()),
        ("1", 1, False, ()),
        ("1", 5, False, ("1/5", "001/005")),
    ],
)
def test_how_a_number_may_be_printed(
    number: str, total: int | None, promo: bool, forms: tuple[str, ...]
) -> None:
    assert number_forms(number, total, promo=promo) == forms


def test_a_promo_is_numbered_after_its_set_s_code() -> None:
    forms = number_forms("10", 226, promo=True, code="SVP")
    assert forms[:3] == ("10", "SVP 010", "SVP EN 010")
    assert len(forms) == 8
    assert number_forms("10", 198, promo=False, code="SVI") == ("10/198", "010/198")
    card = PrintedFacts(card_id="p-10", name="Cat", number="10", total=226, promo=True, code="SVP")
    readings = CardReadings(numbers=[says("G SVP DE 010")], names=[says("Cat")], health=[])
    [score] = PrintReader(lambda _: says(""), CatalogueTexts([card])).score(readings)
    assert score.number > -1


def test_names_are_spelt_in_the_readers_letters() -> None:
    assert plain("Flabébé δ ★") == "Flabebe"
    assert all(0 < code < CLASSES for code in codes(plain("Farfetch’d")))


def whole(frame: np.ndarray) -> CardView:
    """The card that fills a frame."""
    height, width = frame.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return View(frame).at(Quad.of(corners))


def prints(*numbers: int, name: str = "Cat", health: str = "60") -> list[PrintedFacts]:
    return [
        PrintedFacts(
            card_id=f"a-{n}", name=name, number=str(n), total=102, promo=False, health=health
        )
        for n in numbers
    ]


@given(
    st.lists(st.sampled_from(["4/102", "12/102", "TG12", "SV107/SV122"]), min_size=1, unique=True),
    st.integers(0, 99),
)
def test_a_bound_is_never_less_than_the_likelihood(texts: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    reading = rng.dirichlet(np.full(CLASSES, 0.05), 24).astype(np.float32)
    known = TextIndex(texts)
    alone = np.log(np.maximum(reading, 1e-7))
    for text, bound in zip(known.texts, known.upper_bounds([reading]).tolist(), strict=True):
        path = -np.inf
        spelt = codes(text)
        for start in range(len(reading) - len(spelt) + 1):
            path = max(path, sum(alone[start + place, code] for place, code in enumerate(spelt)))
        assert path <= bound + 1e-4


def test_of_the_whole_catalogue_the_card_that_was_read_comes_first() -> None:
    strings = CatalogueTexts(
        [*prints(4, 12, 13), *[replace(one, card_id="b-12", name="Dog") for one in prints(12)]]
    )
    written = CardReadings(
        numbers=[says("Illus. E012/102")], names=[says("Cat HP 60")], health=[says("60 HP")]
    )
    found = PrintReader(lambda strip: says(""), strings).score(written)
    assert [fit.card_id for fit in found[:1]] == ["a-12"]
    assert found[0].total > found[1].total + 5
    assert found[0].name_lead > 0 > next(fit.name_lead for fit in found if fit.card_id == "b-12")
    assert strings.number_forms("c-1") == ()
    assert TextIndex([]).row("Cat") == -1


@pytest.mark.parametrize(
    ("printed", "artists", "speak"),
    [
        (
            "12/102 Illus. Ann Shore",
            {"a-12": "Bo Hill", "b-12": "Ann Shore"},
            {"a-12": -1, "b-12": 1},
        ),
        (
            "12/102 Ilust. Ann Shore",
            {"a-12": "Bo Hill", "b-12": "Ann Shore"},
            {"a-12": -1, "b-12": 1},
        ),
        (
            "12/102 Illus. Bo Hill",
            {"a-12": "Bo Hill", "b-12": "Ann Shore"},
            {"a-12": 1, "b-12": -1},
        ),
        ("12/102 Illus. Ann Shore", {"a-12": "Ann Shore", "b-12": ""}, {"a-12": 1, "b-12": -1}),
        ("12/102", {"a-12": "Bo Hill", "b-12": "Ann Shore"}, {"a-12": 0, "b-12": 0}),
        ("12/102 Illus. Ann Shore", {"a-12": "", "b-12": ""}, {"a-12": 0, "b-12": 0}),
    ],
)
def test_the_artist_speaks_where_the_credit_is_read(
    printed: str, artists: dict[str, str], speak: dict[str, int]
) -> None:
    known = [
        replace(prints(12)[0], card_id=card_id, artist=artist)
        for card_id, artist in artists.items()
    ]
    known += [replace(one, artist="Ann Shore") for one in prints(99) if any(artists.values())]
    reader = PrintReader(lambda strip: says(printed), CatalogueTexts(known))
    found = reader.search([whole(np.zeros((1000, 714, 3), np.uint8))]).examined.scores
    first, second = found["a-12"], found["b-12"]
    assert (first.number, first.name) == (second.number, second.name)
    assert {one: round(np.sign(found[one].artist)) for one in artists} == speak


EMBER = {"en": "Ember", "de": "Glut"}
TAIL_WHIP = {"en": "Tail Whip", "fr": "Mimi-Queue"}


def test_attacks_speak_for_the_cards_that_have_them() -> None:
    moves: dict[str, Moves] = {
        "one": [EMBER, TAIL_WHIP],
        "twin": [TAIL_WHIP, EMBER],
        "two": [EMBER],
        "other": [{"en": "Bubble", "fr": "xy"}, {"en": "xy"}],
        "none": [],
    }
    leads = attack_leads([says("Glut"), says("Tail Whip")], moves)
    assert leads["one"] == leads["twin"] == pytest.approx(3, abs=0.5)
    assert leads["two"] == pytest.approx(-3, abs=0.5)
    assert leads["other"] == leads["none"] == pytest.approx(-6, abs=0.5)
    assert attack_leads([says("")], moves) == dict.fromkeys(moves, 0)
    assert attack_leads([], {"one": [EMBER]}) == {"one": 0}


def test_attacks_tell_cards_apart_that_number_and_name_leave_open(fictional: Path) -> None:
    whole_card = whole(read_image(fictional / "images" / "drk-9.jpg"))
    texts = CatalogueTexts([*prints(1, name="Cat"), *prints(2, name="Cat")])
    known: dict[str, Moves] = {texts.cards[0]: [{"en": "Bubble"}], texts.cards[1]: [TAIL_WHIP]}

    def cut(_: CardView, place: StripPlace) -> NDArray[np.float32]:
        return np.full(1, place.middle, np.float32)

    def read(middle: NDArray[np.float32]) -> Reading:
        return says("Cat" if middle < 0.2 else "Tail Whip" if middle < 0.9 else "")

    reader = PrintReader(read, texts, cut=cut, moves=lambda card_id: known[card_id])
    bubble, tail_whip = reader.attacks(whole_card, texts.cards).values()
    assert tail_whip == -bubble == pytest.approx(3, abs=0.5)
    assert reader.attacks(whole_card, []) == {}
    nothing = dict.fromkeys(texts.cards, 0)
    assert PrintReader(read, texts, cut=cut).attacks(whole_card, texts.cards) == nothing
    assert reader.attacks(whole(np.zeros((400, 286, 3), np.uint8)), texts.cards) == nothing


def test_a_card_is_found_by_its_name_in_another_language() -> None:
    facts = [replace(one, names={"fr": "Chat", "de": "Katze"}) for one in prints(1, name="Cat")]
    texts = CatalogueTexts([*facts, *prints(2, name="Catty")])
    readings = CardReadings(numbers=[says("")], names=[says("Chat")], health=[says("HP 60")])
    first, second = PrintReader(lambda _: says(""), texts).score(readings)
    assert first.card_id == facts[0].card_id
    assert first.name_lead > 0 > second.name_lead
    # Its own names are no rivals of each other.
    assert first.name_lead == pytest.approx(first.name - second.name)


def test_what_stands_in_brackets_is_no_part_of_a_title() -> None:
    facts = replace(prints(1, name="Boss's Orders (Lysandre)")[0], names={"de": "Befehl (Ly)"})
    assert CatalogueTexts([facts]).names.texts == ["Befehl", "Boss's Orders"]


ENERGY = PrintedFacts(
    card_id="e-97",
    name="Water Energy",
    number="97",
    total=102,
    promo=False,
    names={"fr": "Énergie Eau", "de": "Wasser-Energie"},
    energy=True,
)


@pytest.mark.parametrize(
    ("title", "named", "lead", "other"),
    [
        ("ENERGY", True, 0, -1),
        ("ENERGIE", True, 0, -1),
        ("", False, 0, 0),
        ("Cat", False, -1, 1),
        ("Water Energy", True, 1, -1),
    ],
)
def test_an_energy_is_not_punished_for_a_name_that_it_does_not_bear(
    title: str, named: bool, lead: int, other: int
) -> None:
    scores = examined("97/102", title, "", ENERGY, *prints(4, health="")).scores
    energy, cat = scores["e-97"], scores["a-4"]
    assert (energy.name > -1) == named
    assert (np.sign(energy.name_lead), np.sign(cat.name_lead)) == (lead, other)
    assert abs(energy.name_lead) > 3 or not lead
    assert energy.number_lead > 3


def test_another_name_that_is_hardly_read_does_not_speak_against_an_energy() -> None:
    known = [ENERGY, *prints(4, name="Catty", health="")]
    scores = examined("97/102", "Cattw", "", *known).scores
    assert -9 < scores["a-4"].name < -3
    assert scores["e-97"].name_lead == 0
    plain_card = replace(ENERGY, energy=False)
    assert examined("97/102", "Cattw", "", plain_card, *known[1:]).scores["e-97"].name_lead < 0


def test_the_title_of_energies_tells_the_language() -> None:
    texts = CatalogueTexts([ENERGY])
    assert texts.titles_in("e-97") == {
        "en": ("Water Energy", "ENERGY"),
        "fr": ("Energie Eau", "ENERGIE"),
        "de": ("Wasser-Energie", "ENERGIE"),
    }
    assert texts.titles_in("e-98") == {}
    english = examined("97/102", "ENERGY", "", ENERGY).languages
    assert {one for one, score in english.items() if score == 0} == {"en"}
    either = examined("97/102", "ENERGIE", "", ENERGY).languages
    assert {one for one, score in either.items() if score == 0} == {"fr", "de"}


def test_a_name_of_one_letter_is_not_looked_for() -> None:
    strings = CatalogueTexts([*prints(1, name="N"), *prints(2, name="No")])
    assert strings.names.texts == ["No"]
    assert strings.name_rows[:, 0].tolist() == [-1, 0]


def test_strips_hold_what_stands_there(fictional: Path) -> None:
    scan = read_image(fictional / "images" / "drk-9.jpg")
    height, width = scan.shape[:2]
    marked = np.full_like(scan, 200)
    place = NUMBERS[0]
    top, left = int(place.middle * height), int(place.left * width)
    marked[top - 3 : top + 3, left : left + int(place.width * width)] = 0
    strip = whole(marked).strip(place)
    assert strip.shape == (32, 256)
    assert strip[14:18].mean() < 80 < 150 < strip[:6].mean()
    assert abs(normalised_strip(whole(scan), NAMES[0]).mean()) < 1e-3


@pytest.mark.parametrize("clear", [True, False])
def test_print_is_looked_for_in_more_places_when_the_first_leave_it_open(
    fictional: Path, *, clear: bool
) -> None:
    scan = read_image(fictional / "images" / "drk-9.jpg")
    card = whole(scan)
    asked = []

    def letters(strip: NDArray[np.float32]) -> Reading:
        asked.append(strip)
        first, more = (
            ("12/102", "12/102", "Cat", "60 HP"),
            (*("12/102",) * 4, "Cat", "Cat", "Cat", "60 HP"),
        )
        texts = first if clear else ("",) * 4 + more
        return says(texts[(len(asked) - 1) % len(texts)])

    reader = PrintReader(letters, CatalogueTexts(prints(4, 12)))
    found = reader.search([card])
    assert next(iter(found.examined.scores)) == "a-12"
    assert found.examined.scores["a-12"].name_lead > 3
    assert found.where is card
    assert {one.number for one in found.clear} == {"12/102"}
    assert len(asked) == (4 if clear else 12)
    asked.clear()
    assert reader.examine(card, [Card(id="a-12", name="Cat", number="12")]) is not None
    assert len(asked) == (4 if clear else 12)
    nothing = PrintReader(letters, CatalogueTexts([])).search([card])
    assert (nothing.examined.scores, nothing.where) == ({}, None)


def test_a_model_that_is_not_what_its_manifest_says_is_not_used(
    tmp_path: Path, pack: Pack, fictional: Path
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(FOLDER, folder)
    assert CardFinder(folder).version.startswith("2 ")
    model = folder / "reader.tflite"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelUnusable, match="checksum"):
        TextReader(folder)
    model.unlink()
    with pytest.raises(ModelUnusable, match="missing"):
        TextReader(folder)
    manifest = json.loads((FOLDER / "reader.json").read_text(encoding="utf-8"))
    for changed, match in (
        ({"alphabet": "ab"}, "alphabet"),
        ({"input": [1]}, "shapes"),
        ({"file": "../x"}, "manifest"),
    ):
        shutil.copy(FOLDER / "reader.tflite", model)
        (folder / "reader.json").write_text(json.dumps(manifest | changed), encoding="utf-8")
        with pytest.raises(ModelUnusable, match=match):
            TextReader(folder)
    scan = read_image(fictional / "images" / "drk-9.jpg")
    half = recogniser_of(pack, folder).recognise(scan)
    assert (half.method, half.models["reader"], half.decision) == (
        "corners-embedding",
        "unusable",
        Decision.ACCEPT,
    )
    (folder / "embedding.tflite").write_bytes(b"")
    (folder / "corners.json").unlink()
    (folder / "languages.json").unlink()
    without = recogniser_of(pack, folder).recognise(scan)
    assert (without.method, without.decision) == ("classical", Decision.ACCEPT)
    assert without.models == dict.fromkeys(
        ("reader", "corners", "embedding", "languages"), "unusable"
    )
    reading = recogniser_of(pack).recognise(scan)
    assert (reading.method, reading.decision) == ("corners-reader-embedding", Decision.ACCEPT)
    assert reading.models["corners"].startswith("2 ")


def strip_reader(
    numbers: str, names: str, health: str, *, open_number: bool = False
) -> Callable[[NDArray[np.float32]], Reading]:
    """Return a reader of cards with these texts: strips come in the order in which they are cut."""
    more_numbers = [numbers] * 4 if open_number else []
    asked = iter([*[numbers] * 2, names, health, *more_numbers, *[names] * 3, health])
    return lambda strip: says(next(asked))


def examined(
    numbers: str, names: str, health: str, *known: PrintedFacts, of: int | None = None
) -> Examined:
    reader = PrintReader(strip_reader(numbers, names, health), CatalogueTexts(known))
    printings = [Card(id=one.card_id, name=one.name, number=one.number) for one in known]
    found = reader.examine(whole(np.zeros((1000, 714, 3), np.uint8)), printings[:of])
    assert found is not None
    return found


def test_print_at_a_picture_tells_its_printings_apart() -> None:
    found = examined("12/102", "Cat", "60 HP", *prints(4, 12))
    four, twelve = found.scores["a-4"], found.scores["a-12"]
    assert twelve.number > -1 > four.number
    assert twelve.number_lead > 5
    assert twelve.name == four.name > -1
    assert twelve.name_lead > 5
    assert twelve.health is not None
    assert twelve.health > -1
    assert {one.number for one in found.clear} == {"12/102"}


def test_a_printing_of_which_the_reader_knows_nothing_scores_as_unread() -> None:
    texts = strip_reader("12/102", "Cat", "60 HP", open_number=True)
    reader = PrintReader(texts, CatalogueTexts(prints(4, 12)))
    found = reader.examine(
        whole(np.zeros((1000, 714, 3), np.uint8)), [Card(id="c-1", name="?", number="1")]
    )
    assert found is not None
    score = found.scores["c-1"]
    assert (score.number, score.number_lead, score.health) == (-11.0, -11.0, None)
    assert score.name_lead < 0
    assert reader.examine(whole(np.zeros((400, 286, 3), np.uint8)), []) is None
    nothing = PrintReader(strip_reader("", "", ""), CatalogueTexts(prints(4)))
    empty = nothing.examine(whole(np.zeros((1000, 714, 3), np.uint8)), [])
    assert empty is not None
    assert (empty.scores, set(empty.languages.values())) == ({}, {0.0})


def test_digits_alone_lead_over_no_other_number() -> None:
    bare = replace(prints(4)[0], card_id="p-4", total=None, promo=True)
    strips = strip_reader("4", "Cat", "60", open_number=True)
    found = PrintReader(strips, CatalogueTexts([bare, *prints(12)])).examine(
        whole(np.zeros((1000, 714, 3), np.uint8)), [Card(id="p-4", name="Cat", number="4")]
    )
    assert found is not None
    promo = found.scores["p-4"]
    assert promo.number > -3
    assert promo.number_lead == 0
    assert examined("4/102", "Cat", "60", *prints(4, 12)).scores["a-4"].number_lead > 3


def test_a_name_that_stands_within_another_is_no_full_rival_of_it() -> None:
    known = [*prints(4, name="Iono's Voltorb"), *prints(12, name="Voltorb")]
    found = examined("4/102", "Iono's Voltorb", "60", *known)
    longer, shorter = found.scores["a-4"], found.scores["a-12"]
    assert longer.name_lead > 3 > 0 > shorter.name_lead
    unread = examined("4/102", "ono's Voltorb", "60", *known).scores
    assert unread["a-4"].name_lead == pytest.approx(
        unread["a-4"].name - unread["a-12"].name + 3, abs=0.01
    )


def test_health_points_lead_over_other_ones() -> None:
    known = [*prints(4, health="60"), *prints(12, health="120"), *prints(13, health="")]
    scores = examined("4/102", "Cat", "60 HP", *known).scores
    assert scores["a-4"].health_lead > 5 > -5 > scores["a-12"].health_lead
    assert scores["a-13"].health_lead == 0


FOX = {"en": "Fox", "fr": "Goupil", "de": "Fuchs"}


@pytest.mark.parametrize(
    ("name", "told"),
    [("Goupil", {"fr"}), ("Fuchs", {"de"}), ("Fox", {"en"}), ("", {"en", "fr", "de"})],
)
def test_the_name_tells_the_language(name: str, told: set[str]) -> None:
    fox = replace(prints(4, name="Fox")[0], names=FOX)
    languages = examined("4/102", name, "60", fox).languages
    assert {one for one, score in languages.items() if score == 0} == told
    best = examined("4/102", name, "60", fox).scores["a-4"]
    assert (best.name > -3) == bool(name), "a name counts in each of its languages"


def test_no_language_is_told_where_nothing_was_read() -> None:
    def told(name: str, points: str = "60") -> dict[str, float]:
        found = examined("4/102", name, "", *prints(4, name="Vulpix", health=points)).languages
        return {one: round(score, 1) + 0.0 for one, score in found.items()}

    assert told("") == told("", points="") == dict.fromkeys(told(""), 0.0)
    assert told("Goupix")["en"] < -1 < told("")["en"], "a text that is not its name"
    assert told("Vulpix")["fr"] == -1.2, "some names are the same in other languages"
    assert told("Vulpix")["it"] == -0.1
    assert told("Vulpix", points="")["it"] == -1.8, "those of trainers are not"


def test_a_language_that_the_catalogue_lacks_is_less_likely_where_it_knows_others() -> None:
    fox = replace(prints(4, name="Fox")[0], names=FOX)
    assert examined("4/102", "Fox", "60", fox).languages["it"] == pytest.approx(-1.05, abs=0.05)


def test_a_mark_that_only_one_language_s_name_has_tells_no_language() -> None:
    names = {"en": "Torterra LV.X", "fr": "Torterra", "de": "Chelterrar"}
    torterra = replace(prints(4, name="Torterra LV.X")[0], names=names)
    languages = examined("4/102", "Torterra", "160", torterra).languages
    assert languages["en"] == languages["fr"] == 0 > languages["de"]


def test_names_that_differ_by_a_hyphen_tell_no_language() -> None:
    names = {"en": "Melmetal ex", "fr": "Melmetal-ex", "de": "Melmetal-ex"}
    melmetal = replace(prints(4, name="Melmetal ex")[0], names=names)
    languages = examined("4/102", "Melmetal ex", "", melmetal).languages
    assert languages is not None
    assert languages["en"] == languages["fr"] == 0


def test_a_clear_number_is_read_whether_the_catalogue_has_it_or_not() -> None:
    assert clear_numbers(says("PBL 091/084"), 0.9) == {"091/084"}
    assert clear_numbers(says("Illus. A 4/102 C"), 0.9) == {"4/102"}
    assert clear_numbers(says("091/084", sure=0.85), 0.9) == set()
    for none in ("1234/567", "1/2/34", "91/8", "no number"):
        assert clear_numbers(says(none), 0.9) == set(), none
    double = np.repeat(says("11/22"), 2, axis=0)
    assert clear_numbers(double, 0.9) == {"11/22"}, "a letter may last for several steps"
    assert (unpadded("004/102"), unpadded("91/084")) == ("4/102", "91/84")


@pytest.mark.parametrize(
    ("strips", "unknown"),
    [
        (["091/084", "", "091/084", "", "", ""], "091/084"),
        (["091/084", "", "", "", "", ""], ""),
        (["", "", "091/084", "091/084", "", ""], "091/084"),
        (["004/102", "", "", "", "", ""], ""),
        (["091/084", "", "091/084", "4/102", "", ""], ""),
        (["091/084", "091/084", "", "", "", ""], "091/084"),
    ],
)
def test_a_number_of_no_printing_must_stand_in_two_strips_and_no_other_beside_it(
    strips: list[str], unknown: str
) -> None:
    readings = iter(says(text) for text in [*strips[:2], "Fox", "60 HP", *strips[2:]])
    facts = [PrintedFacts(card_id="a-4", name="Fox", number="4", total=102, promo=False)]
    reader = PrintReader(lambda _: next(readings), CatalogueTexts(facts))
    found = reader.examine(
        whole(np.full((1000, 714, 3), 90, np.uint8)), [Card(id="a-4", name="Fox", number="4")]
    )
    assert found is not None
    assert reader.unknown_number(found.clear) == unknown


def test_one_strip_that_is_read_twice_is_one() -> None:
    facts = [PrintedFacts(card_id="a-4", name="Fox", number="4", total=102, promo=False)]
    card = whole(np.full((1000, 714, 3), 90, np.uint8))
    reader = PrintReader(lambda _: says("091/084"), CatalogueTexts(facts))
    first, second = (read_numbers(card, NUMBERS[:1], [says("091/084")], 0.9) for _ in range(2))
    assert reader.unknown_number(first | second) == ""
    elsewhere = read_numbers(card, NUMBERS[1:2], [says("091/084")], 0.9)
    assert reader.unknown_number(first | elsewhere) == "091/084"
