"""What the reader alone reads on labelled photos: how often each text of the true card comes first.

Where the card lies is found as the station finds it. A text comes first when it scores better than
every other text of the catalogue; attacks are compared with those of the likeliest cards.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.line_reader import LineReader
from cardmint_edge.adapters.models import CardFinder, LanguageTrigrams, TextReader
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.domain.config import FinderConfig
from cardmint_edge.domain.reading.attacks import attack_leads
from cardmint_edge.domain.reading.catalogue_texts import CatalogueTexts, TextIndex
from cardmint_edge.domain.reading.close_up import CloseUp, read_close_up
from cardmint_edge.domain.reading.ctc import Reading, text_scores
from cardmint_edge.domain.reading.lexicon import plain
from cardmint_edge.domain.reading.print_reader import PrintReader
from cardmint_edge.domain.reading.strips import (
    BODY,
    HEALTH,
    NAMES,
    NUMBERS,
    coloured_strip,
    normalised_strip,
)
from cardmint_edge.domain.vision.proposals import propose, reading_places
from cardmint_edge.domain.vision.view import CardView, StripPlace, View
from cardmint_lab.recognition.evaluate import Photo

CLOSE_UP = "number_corner_closeup"

SIGNS = {"en": "HP", "fr": "PV", "de": "KP", "it": "PS", "es": "PS", "pt": "PS"}

RIVALS = 40
"""How many texts of the catalogue, the likeliest by an upper bound, are compared."""

LIKELIEST = 20
"""How many cards' attacks are compared."""

VERDICTS = ("right", "tied", "wrong", "unread")

TEXTS = ("number", "name", "health", "sign", "attacks")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPhoto:
    """What was read on one photo.

    `rank` is the true card's place among all printings by print alone, 0 for none; `leads` the
    score (log) of each of its texts over the best other one, where it has that text. `language` is
    what running text says: right, tied, wrong, unread.
    """

    photo: Photo
    rank: int = 0
    leads: dict[str, float] = field(default_factory=dict)
    language: str = "unread"
    ms: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadCloseUp:
    """A close-up of a card's lower edge, and what was read on it."""

    photo: Photo
    numbers: tuple[str, ...]
    """The forms of the true card's number."""
    read: CloseUp | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was read on all photos, out of so many printings."""

    printings: int
    photos: list[ReadPhoto]
    close_ups: list[ReadCloseUp]


class _Reader:
    """A reader, and the station's own, which finds the place where it reads."""

    def __init__(self, pack: Pack, models: Path, *, second_look: bool) -> None:
        self.pack = pack
        self.texts = CatalogueTexts(pack.prints())
        self.known = {facts.card_id: facts for facts in pack.prints()}
        self.own = TextReader(models)
        self.finder = CardFinder()
        self.trigrams = LanguageTrigrams(models)
        self._reader = LineReader() if second_look else self.own
        self._cut = coloured_strip if second_look else normalised_strip
        self.finding = PrintReader(self.own, self.texts, moves=pack.moves)
        self.reading = PrintReader(self._reader, self.texts, cut=self._cut, moves=pack.moves)

    def search(self, view: View) -> tuple[list[str], CardView | None, float]:
        """Return the cards that print names, where it lies, and the milliseconds of reading."""
        config = FinderConfig()
        places = reading_places(view, propose(view, self.finder, config), None, config)
        where = self.finding.search(places).where
        if where is None:
            return [], None, 0.0
        started = time.perf_counter()
        found = self.reading.search([where])
        return list(found.examined.scores), found.where, (time.perf_counter() - started) * 1000

    def read(self, card: CardView, places: Iterable[StripPlace]) -> list[Reading]:
        return [self._reader(self._cut(card, place)) for place in places]


def measure(
    photos: Iterable[Photo], pack: Pack, models: Path, *, second_look: bool = False
) -> Measured:
    """Read photos of single cards, and close-ups, whose card the pack has."""
    reader = _Reader(pack, models, second_look=second_look)
    read, close_ups = [], []
    for photo in photos:
        if photo.card_id not in reader.known:
            continue
        if photo.labelled:
            read.append(_read_photo(photo, reader))
        elif photo.kind == CLOSE_UP:
            view = View(read_image(photo.path))
            close_ups.append(
                ReadCloseUp(
                    photo=photo,
                    numbers=reader.texts.number_forms(photo.card_id),
                    read=read_close_up(view, reader.own, reader.texts),
                )
            )
    return Measured(printings=len(reader.texts.cards), photos=read, close_ups=close_ups)


def _read_photo(photo: Photo, reader: _Reader) -> ReadPhoto:
    named, where, ms = reader.search(View(read_image(photo.path)))
    if where is None:
        return ReadPhoto(photo=photo, ms=ms)
    texts, facts = reader.texts, reader.known[photo.card_id]
    numbers, health = reader.read(where, NUMBERS), reader.read(where, HEALTH)
    names = {plain(name) for name in (facts.name, *facts.names.values())}
    leads = {
        "number": _lead(numbers, texts.numbers, texts.number_forms(photo.card_id), number=True),
        "name": _lead(reader.read(where, NAMES), texts.names, names, number=False),
        "health": _lead(health, texts.health, (facts.health,), number=True),
        "sign": _sign_lead(health, facts.health, photo.language),
    }
    language = "unread"
    if reader.pack.moves(photo.card_id):
        body = reader.read(where, BODY)
        rivals = {one: reader.pack.moves(one) for one in [*named[:LIKELIEST], photo.card_id]}
        leads["attacks"] = attack_leads(body, rivals)[photo.card_id]
    trigrams = frozenset[int]().union(*reader.reading.running_text(where))
    if trigrams:
        own = reader.reading.names_of_moves(photo.card_id)
        language = _verdict(reader.trigrams.language_scores(trigrams, own), photo.language)
    return ReadPhoto(
        photo=photo,
        rank=named.index(photo.card_id) + 1 if photo.card_id in named else 0,
        leads={text: lead for text, lead in leads.items() if lead is not None},
        language=language,
        ms=ms,
    )


def _lead(
    readings: list[Reading], index: TextIndex, own: Iterable[str], *, number: bool
) -> float | None:
    """Return by how much the best own text leads; None where the catalogue has none of them."""
    mine = [text for text in own if index.row(text) >= 0]
    if not mine:
        return None
    likeliest = np.argsort(-index.upper_bounds(readings))[:RIVALS].tolist()
    others = [index.texts[row] for row in likeliest if index.texts[row] not in mine]
    best = text_scores(readings, [*mine, *others], number=number).max(axis=0)
    return float(best[: len(mine)].max() - best[len(mine) :].max(initial=-100.0))


def _sign_lead(health: list[Reading], points: str, language: str) -> float | None:
    """Return by how much the language's sign leads beside the health points."""
    if not points or language not in SIGNS:
        return None
    forms = ("{0} {1}", "{0}{1}", "{1} {0}", "{1}{0}")
    best = {
        sign: float(
            text_scores(health, [form.format(points, sign) for form in forms], number=True).max()
        )
        for sign in set(SIGNS.values())
    }
    own = best.pop(SIGNS[language])
    return own - max(best.values())


def _verdict(scores: dict[str, float], language: str) -> str:
    if not scores:
        return "unread"
    best = [one for one, score in scores.items() if score == 0]
    if language not in best:
        return "wrong"
    return "right" if len(best) == 1 else "tied"


def table(measured: Measured, *, each: bool = False) -> str:
    """Return the figures as text; with `each`, a line for each photo before them."""
    return "\n".join(_lines(measured, each=each))


def _lines(measured: Measured, *, each: bool) -> Iterator[str]:
    if each:
        for one in measured.photos:
            leads = "  ".join(f"{text} {lead:+.1f}" for text, lead in one.leads.items())
            yield (
                f"{one.photo.path.name}  {one.photo.card_id} {one.photo.language}"
                f"  rank {one.rank or '-'}  {leads}  language {one.language}"
            )
    english = [one for one in measured.photos if one.photo.language == "en"]
    others = [one for one in measured.photos if one.photo.language != "en"]
    yield f"of {measured.printings} printings, by print alone"
    for title, photos in (("English", english), ("other languages", others)):
        if not photos:
            continue
        yield f"{title}: {sum(one.rank == 1 for one in photos)} of {len(photos)} cards first"
        for text in TEXTS:
            ahead = [one.leads[text] for one in photos if text in one.leads]
            first = sum(lead > 0 for lead in ahead)
            middle = f", median lead {median(ahead):+.1f}" if ahead else ""
            yield f"  {text}: {first} of {len(ahead)} first{middle}"
        said = Counter(one.language for one in photos)
        yield "  language by running text: " + ", ".join(f"{said[one]} {one}" for one in VERDICTS)
        yield f"  reading: {median([one.ms for one in photos]):.0f} ms at the median"
    if measured.close_ups:
        yield _close_up_line(measured.close_ups)


def _close_up_line(close_ups: list[ReadCloseUp]) -> str:
    read = [(one, one.read) for one in close_ups if one.read is not None]
    numbers = sum(found.number in one.numbers for one, found in read)
    cards = sum(found.cards == (one.photo.card_id,) for one, found in read)
    languages = sum(found.language == one.photo.language for one, found in read)
    wrong = sum(
        bool(found.language) and found.language != one.photo.language for one, found in read
    )
    return (
        f"close-ups: {numbers} of {len(close_ups)} numbers, {cards} printings alone,"
        f" {languages} languages right and {wrong} wrong"
    )
