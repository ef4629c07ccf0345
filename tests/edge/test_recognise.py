"""The chain as a whole, on the fictional set."""

import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from cardmint_contracts.cards import Card, Decision
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.config import FinderConfig, PolicyConfig
from cardmint_edge.domain.decide import rank
from cardmint_edge.domain.evidence import PrintScores
from cardmint_edge.domain.reading.clear_numbers import ReadNumber, unknown_number
from cardmint_edge.domain.reading.print_reader import Examined, Found, PrintReader
from cardmint_edge.domain.recognise import CardRecogniser
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.frame_quality import half_turn_likeness
from cardmint_edge.domain.vision.matching import Reference
from cardmint_edge.domain.vision.proposals import Proposals, reading_places
from cardmint_edge.domain.vision.quad import Quad
from cardmint_edge.domain.vision.view import CardView, StripPlace, View
from cardmint_edge.recogniser import Recognisers, recogniser_of
from cardmint_lab.recognition.samples import ReducedGallery
from cardmint_lab.scenes import PRESETS, Preset, background, lay, render

UNIQUE = "drk-9"
REPRINTED = "ech-3"


def scan_of(fictional: Path, name: str) -> Frame:
    return read_image(fictional / "images" / f"{name}.jpg")


def laid(
    *cards: tuple[Frame, tuple[float, float], float, float], size: tuple[int, int] = (1200, 900)
) -> Frame:
    """Lay cards on a mat: picture, middle, height and turn in degrees clockwise."""
    rng = np.random.default_rng(4)
    frame = background(*size, rng)
    for card, (x, y), tall, degrees in cards:
        box = cv2.boxPoints(((0, 0), (tall * 63 / 88, tall), degrees))
        # boxPoints begins at the bottom left of the unturned box.
        frame = lay(frame, card, (np.roll(box, -1, axis=0) + np.array([x, y])).astype(np.float32))
    return frame.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("preset", PRESETS)
def test_rendered_photos_are_recognised_and_never_wrongly_accepted(
    fictional: Path, recogniser: CardRecogniser, preset: str
) -> None:
    rng = np.random.default_rng(11)
    right = 0
    names = ("emb-1", "emb-17", "tdw-20", "drk-9", "emb-33", "prm-PR006")
    for name in names:
        scene = render(scan_of(fictional, name), PRESETS[preset], rng)
        seen = recogniser.recognise(scene.frame)
        right += bool(seen.candidates) and seen.candidates[0].card.id == name
        if seen.decision is Decision.ACCEPT:
            assert seen.card == seen.candidates[0].card
            assert seen.card is not None
            assert seen.card.id == name
            assert seen.quad is not None
            assert np.abs(seen.quad.corners - scene.quad.corners).max() < 15
    assert right >= len(names) - 1


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 37])
def test_a_card_is_recognised_any_way_up(
    fictional: Path, recogniser: CardRecogniser, degrees: float
) -> None:
    frame = laid((scan_of(fictional, UNIQUE), (600, 450), 560, degrees))
    seen = recogniser.recognise(frame)
    assert seen.decision is Decision.ACCEPT
    assert seen.card is not None
    assert seen.card.id == UNIQUE
    assert seen.rectified is not None
    assert abs(seen.rectified.shape[0] - 560) < 12
    assert set(seen.ms) == {"detect", "hash", "match", "read", "decide", "rectify"}
    assert seen.quad is not None
    towards = seen.quad.corners[1] - seen.quad.corners[0]
    assert abs((np.degrees(np.arctan2(towards[1], towards[0])) - degrees + 180) % 360 - 180) < 3


def test_a_scan_that_fills_the_frame_is_recognised(
    fictional: Path, recogniser: CardRecogniser
) -> None:
    assert recogniser.recognise(scan_of(fictional, UNIQUE)).decision is Decision.ACCEPT


def test_a_reprint_is_for_a_person_with_both_printings_named(
    fictional: Path, recogniser: CardRecogniser
) -> None:
    seen = recogniser.recognise(laid((scan_of(fictional, REPRINTED), (600, 450), 600, 5)))
    assert seen.decision is Decision.REVIEW
    assert "same-art" in seen.reasons
    first, second = seen.candidates[:2]
    assert REPRINTED in {first.card.id, second.card.id}
    assert first.card.name == second.card.name
    assert first.card.id != second.card.id


def test_a_reprint_without_a_picture_still_keeps_the_other_from_being_accepted(
    fictional: Path, pack: Pack
) -> None:
    rows = {pack.printing(row).id: row for row in range(len(pack.hashes))}
    lonely = CardRecogniser(ReducedGallery(pack, {rows[REPRINTED]}), clock=time.perf_counter)
    seen = lonely.recognise(laid((scan_of(fictional, REPRINTED), (600, 450), 600, 0)))
    assert (seen.decision, "same-art" in seen.reasons) == (Decision.REVIEW, True)
    assert REPRINTED in {candidate.card.id for candidate in seen.candidates}


def test_a_stranger_is_for_a_person(fictional: Path, pack: Pack) -> None:
    rows = {pack.printing(row).id: row for row in range(len(pack.hashes))}
    without = CardRecogniser(ReducedGallery(pack, {rows[UNIQUE]}), clock=time.perf_counter)
    seen = without.recognise(laid((scan_of(fictional, UNIQUE), (600, 450), 600, 0)))
    assert (seen.decision, seen.card) == (Decision.REVIEW, None)
    assert "low-confidence" in seen.reasons


def test_another_name_on_the_card_lowers_the_confidence(fictional: Path, pack: Pack) -> None:
    card = scan_of(fictional, UNIQUE)
    altered = card.copy()
    altered[36:88, 40:480] = scan_of(fictional, "emb-31")[36:88, 40:480]
    reading = Recognisers(pack, second_look=False).over(pack)
    policy = PolicyConfig()

    def doubt(shown: Frame) -> float:
        grew = reading.observe(laid((shown, (600, 450), 700, 0)))[1]
        best = rank(grew[0], policy).likeliest
        assert best is not None
        assert best.card.id == UNIQUE
        return 1 - rank(grew[0], policy).confidence

    assert doubt(altered) > 5 * doubt(card)


def test_print_is_read_in_contours_last_and_nowhere_twice(fictional: Path) -> None:
    view = View(laid((scan_of(fictional, UNIQUE), (600, 450), 700, 0)))
    wide = 700 * 63 / 88
    corners = np.array([[0, 0], [wide, 0], [wide, 700], [0, 700]])
    there = Quad.of(corners + np.array([600 - wide / 2, 100]))
    astray = Quad.of(there.corners + 60)

    def places(*quads: Quad, clear: int, first: Quad | None = None) -> list[Quad]:
        proposals = Proposals([*quads], clear)
        return [card.quad for card in reading_places(view, proposals, first, FinderConfig())]

    first, turned_first, *more = places(astray, clear=1)
    assert first is astray
    assert np.array_equal(turned_first.corners, astray.turned(2).corners)
    assert max(quad.overlap(there) for quad in more) > 0.95
    assert len(places(astray, clear=0, first=astray)) == 4
    assert all(quad.overlap(there) < 0.95 for quad in places(there, clear=1)[2:])


class Reads(PrintReader):
    """A reader that reads one card's print wherever it looks, its number so well (log).

    It reads an `unknown_number`, if any, at a picture and where it searches.
    """

    def __init__(self, card_id: str, number: float, unknown_number: str = "") -> None:
        score = PrintScores(
            number=number, number_lead=8.0, name=-1.0, name_lead=8.0, health=0.0, health_lead=3.0
        )
        self._examined_there = Examined(scores={card_id: score}, languages={})
        self._unknown_number = unknown_number

    def search(self, places: Iterable[CardView]) -> Found:
        return Found(
            examined=self._examined_there, where=next(iter(places)), clear=self._clear(0.95)
        )

    def attacks(self, card: CardView, card_ids: list[str]) -> dict[str, float]:
        return dict.fromkeys(card_ids, 0.0)

    def unknown_number(self, clear: Iterable[ReadNumber]) -> str:
        return unknown_number(clear, lambda _: False, 2)

    def _clear(self, middle: float) -> frozenset[ReadNumber]:
        read = ReadNumber(self._unknown_number, b"", StripPlace(0.02, middle, 0.4))
        return frozenset({read} if read.number else ())

    def examine(self, card: CardView, printings: list[Card]) -> Examined | None:
        unread = PrintScores(number=-11.0, number_lead=-9.0, name=-9.0, name_lead=-9.0)
        return Examined(
            scores={one.id: unread for one in printings},
            languages={},
            clear=self._clear(0.94),
        )


def test_a_card_with_a_number_of_no_printing_is_not_guessed_at(fictional: Path, pack: Pack) -> None:
    recogniser = CardRecogniser(
        pack, clock=time.perf_counter, print_reader=Reads(UNIQUE, -9.0, "091/084")
    )
    seen = recogniser.recognise(laid((scan_of(fictional, "emb-1"), (600, 450), 700, 0)))
    assert (seen.decision, seen.reasons, seen.card, seen.candidates) == (
        Decision.REVIEW, ("not-in-catalogue",), None, (),
    )  # fmt: skip


@pytest.mark.parametrize("pictured", [True, False])
def test_print_that_is_anothers_makes_a_clear_picture_a_persons(
    fictional: Path, pack: Pack, *, pictured: bool
) -> None:
    row = pack.row("emb-31")
    assert row is not None
    gallery = pack if pictured else ReducedGallery(pack, {row})
    reads = Reads("emb-31", -0.5)
    doubting = CardRecogniser(gallery, clock=time.perf_counter, print_reader=reads)
    frame = laid((scan_of(fictional, UNIQUE), (600, 450), 700, 0))
    seen = doubting.recognise(frame)
    assert seen.decision is Decision.REVIEW
    assert {UNIQUE, "emb-31"} <= {one.card.id for one in seen.candidates}
    grew = doubting.observe(frame, thorough=True)[1]
    assert [one.searched for one in grew] == [False, True]


def test_print_is_not_searched_where_picture_and_print_agree(fictional: Path, pack: Pack) -> None:
    reading = recogniser_of(pack)
    frame = laid((scan_of(fictional, UNIQUE), (600, 450), 700, 0))
    seen, grew = reading.observe(frame)
    assert (seen.decision, [one.searched for one in grew]) == (Decision.ACCEPT, [False])
    again, thorough = reading.observe(frame, thorough=True)
    assert (again.card, [one.searched for one in thorough]) == (
        seen.card, [False, True, True, True],
    )  # fmt: skip


def test_print_that_names_no_card_of_the_pack_adds_no_candidate(
    fictional: Path, pack: Pack
) -> None:
    recogniser = CardRecogniser(pack, clock=time.perf_counter, print_reader=Reads("gone-1", -0.5))
    _, grew = recogniser.observe(
        laid((scan_of(fictional, UNIQUE), (600, 450), 700, 0)), thorough=True
    )
    assert "gone-1" not in {one.card.id for one in grew[-1].candidates}


def test_two_cards_are_for_a_person(fictional: Path, recogniser: CardRecogniser) -> None:
    one, other = scan_of(fictional, UNIQUE), scan_of(fictional, "emb-1")
    side_by_side = laid((one, (330, 450), 500, 0), (other, (870, 450), 500, 3))
    assert "several-cards" in recogniser.recognise(side_by_side).reasons
    fanned = laid((one, (480, 450), 560, -4), (other, (760, 450), 560, 5))
    assert recogniser.recognise(fanned).decision is Decision.REVIEW


def test_a_card_that_leaves_the_frame_is_for_a_person(
    fictional: Path, recogniser: CardRecogniser
) -> None:
    whole = laid((scan_of(fictional, UNIQUE), (600, 450), 700, 0))
    seen = recogniser.recognise(np.ascontiguousarray(whole[:735]))
    assert (seen.decision, "cut-off" in seen.reasons) == (Decision.REVIEW, True)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (np.full((1280, 1920, 3), 180, np.uint8), "no-card-found"),
        (np.zeros((1280, 1920, 3), np.uint8), "too-dark"),
        (np.full((1000, 716, 3), 200, np.uint8), "no-card-found"),
        (np.random.default_rng(1).integers(0, 255, (600, 800, 3), dtype=np.uint8), "no-card-found"),
        (np.full((32, 32, 3), 90, np.uint8), "no-card-found"),
    ],
)
def test_an_empty_frame_counts_nothing(
    recogniser: CardRecogniser, frame: Frame, reason: str
) -> None:
    seen = recogniser.recognise(frame)
    assert (seen.decision, seen.reasons, seen.candidates) == (Decision.REJECT, (reason,), ())
    assert seen.quad is None
    assert seen.rectified is None


def test_a_card_back_counts_nothing(recogniser: CardRecogniser) -> None:
    half = np.random.default_rng(8).integers(0, 255, (11, 16, 3), dtype=np.uint8)
    tile = np.concatenate([half, half[::-1, ::-1]])
    back = cv2.resize(tile, (630, 880), interpolation=cv2.INTER_CUBIC)
    seen = recogniser.recognise(laid((np.asarray(back, np.uint8), (600, 450), 600, 8)))
    assert (seen.decision, seen.reasons) == (Decision.REJECT, ("looks-like-card-back",))
    assert half_turn_likeness(np.full((134, 96, 3), 70, np.uint8)) == 0


class Nothing:
    """A gallery without a picture."""

    version = "empty"
    hashes = np.empty((0, 15), np.uint64)
    vectors = np.empty((0, 64), np.int8)

    def printing(self, row: int) -> Card:
        raise IndexError(row)

    def reference(self, row: int) -> Reference:
        raise IndexError(row)

    def twins(self, row: int) -> tuple[Card, ...]:
        raise IndexError(row)

    def card(self, card_id: str) -> Card | None:
        return None

    def row(self, card_id: str) -> int | None:
        return None


@pytest.mark.parametrize("reader", [None, Reads(UNIQUE, -0.5)])
def test_a_pack_without_pictures_knows_nobody(fictional: Path, reader: Reads | None) -> None:
    empty = CardRecogniser(Nothing(), clock=time.perf_counter, print_reader=reader)
    seen = empty.recognise(scan_of(fictional, UNIQUE))
    assert (seen.decision, seen.pack) == (Decision.REJECT, "empty")


def test_the_same_seed_renders_the_same_scene_and_the_card_lies_inside(fictional: Path) -> None:
    scan = scan_of(fictional, "emb-2")
    shiny = Preset(
        width=640,
        height=480,
        card_height=(0.3, 0.4),
        tilt=0.05,
        turn_degrees=180,
        upside_down=1,
        blur=(0.5, 1),
        noise=(1, 2),
        light=(1, 1),
        glare=1,
        foil=1,
        tint=0.1,
        shift=1,
    )
    for seed in range(8):
        one, other = (render(scan, shiny, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(one.frame, other.frame)
        assert one.quad.corners.min() >= 0
        assert (one.quad.corners.max(axis=0) <= (640, 480)).all()
        assert one.frame.shape == (480, 640, 3)
    plain = render(scan, PRESETS["copy_stand"], np.random.default_rng(1))
    assert plain.frame.shape == (1280, 1920, 3)
