"""Targets of catalogues: a set's file, what TCGdex answers, and downloaded folders."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from cardmint_contracts.catalogue import (
    CatalogueSet,
    Printing,
    Region,
    SetEntry,
    card_in,
    decode_index,
    decode_set,
)
from cardmint_contracts.errors import ContractError
from cardmint_contracts.wire import encode
from cardmint_edge.adapters.catalogue_folder import open_catalogue
from cardmint_edge.domain.catalogue.tcgdex_api import (
    ApiCard,
    LanguageAnswers,
    merge,
    read_api_set,
)
from cardmint_edge.errors import Stop
from tests.fuzz.target import Run, Target

CARD = {
    "id": "sv04.5-001", "localId": "001", "name": "Pineco", "category": "Pokemon", "hp": 70,
    "attacks": [{"name": "Rollout"}], "variants": {"normal": True, "firstEdition": True},
}  # fmt: skip
API_SET = {
    "id": "sv04.5", "name": "Paldean Fates", "cardCount": {"official": 91}, "cards": [CARD],
    "releaseDate": "2024-01-26", "abbreviation": {"official": "PAF"}, "serie": {"id": "sv"},
}  # fmt: skip
DATABASE_CARD = {
    "localId": "001", "name": {"en": "Pineco", "fr": "Pomdepik"}, "hp": 70,
    "variants": [{"type": "holo", "stamp": ["1st edition"]}, {"type": "normal"}],
}  # fmt: skip


@contextmanager
def open_file(_: Path) -> Iterator[Run]:
    """Read any bytes as a set's file and as an index."""

    def run(data: bytes) -> object:
        digest = hashlib.sha256(data).hexdigest()
        entry = SetEntry(id="a", region=Region.ASIA, printings=0, sha256=digest)
        try:
            return decode_index(data)
        except ContractError:
            read = decode_set(data, entry)
            return [card_in(printing, read, "fr") for printing in read.printings]

    yield run


def file_seeds() -> list[bytes]:
    printing = Printing(id="a-1", number="1", names={"en": "A", "fr": "B"})
    one = CatalogueSet(id="a", region=Region.ASIA, names={"ja": "A"}, printings=(printing,))
    return [encode(one), b'{"format":1,"sets":[]}', b"{}"]


@contextmanager
def open_answers(_: Path) -> Iterator[Run]:
    """Merge answers: the set's in the first line, those about its cards in the others."""

    def run(data: bytes) -> object:
        first, *rest = data.split(b"\n")
        of_set = read_api_set(first, "set", lambda _: None)
        if of_set is None:
            return None
        cards = [msgspec.json.decode(line, type=ApiCard) for line in rest]
        answers = LanguageAnswers(of_set, {card.id: card for card in cards})
        return merge([("en", answers), ("fr", answers)], lambda _: None)

    yield run


def answer_seeds() -> list[bytes]:
    return [json.dumps(API_SET).encode() + b"\n" + json.dumps(CARD).encode(), b"{}\n{}"]


@contextmanager
def open_folder(folder: Path) -> Iterator[Run]:
    """Read a set of TCGdex's database, and of pokemon-tcg-data, whose cards are any bytes."""
    entry = {"id": "sv04.5", "region": "international", "name": {"en": "A"}, "official": 91}
    ours, theirs = folder / "tcgdex", folder / "pokemon-tcg-data"
    for place in (ours / "cards" / "international", theirs / "sets", theirs / "cards" / "en"):
        place.mkdir(parents=True)
    (ours / "sets.json").write_text(json.dumps([entry]))
    (theirs / "sets" / "en.json").write_text(json.dumps([{"id": "sv4pt5", "name": "A"}]))

    def run(data: bytes) -> object:
        (ours / "cards" / "international" / "sv04.5.json").write_bytes(data)
        (theirs / "cards" / "en" / "sv4pt5.json").write_bytes(data)
        sources = [*open_catalogue(ours).sets, *open_catalogue(theirs).sets]
        return [source.read(lambda _: None) for source in sources]

    yield run


def folder_seeds() -> list[bytes]:
    english = {"id": "sv4pt5-1", "name": "Pineco", "number": "1", "attacks": [{"name": "Rollout"}]}
    return [json.dumps([DATABASE_CARD]).encode(), json.dumps([english]).encode(), b"[{}]"]


TARGETS = (
    Target(name="catalogue-files", open=open_file, seeds=file_seeds, refuses=(ContractError,)),
    Target(
        name="catalogue-answers",
        open=open_answers,
        seeds=answer_seeds,
        refuses=(msgspec.DecodeError, UnicodeDecodeError, RecursionError),
    ),
    Target(name="catalogue-folders", open=open_folder, seeds=folder_seeds, refuses=(Stop,)),
)
