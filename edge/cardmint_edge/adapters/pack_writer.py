"""Writing of catalogue packs. It is apart from reading, because a station only reads."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import msgspec
import numpy as np
import sqlite_utils

from cardmint_contracts.cards import Edition, Finish, Money
from cardmint_contracts.catalogue import (
    CatalogueSet,
    Names,
    Printing,
    name_in,
)
from cardmint_contracts.prices import LastPrice
from cardmint_edge.adapters.pack import SCHEMA, SEARCH_COLUMNS, SEARCH_TABLE
from cardmint_edge.domain.catalogue.art import art_key, count_twinned
from cardmint_edge.domain.vision.embedding import Vectors
from cardmint_edge.domain.vision.hashing import Bits
from cardmint_edge.domain.vision.matching import Reference

READING = 1
"""Version of what sets become in a pack. With another one, no set of an earlier pack is kept."""

APPLICATION = b"CMPK"
"""SQLite's application identifier of packs, at a fixed place of the file's header."""

_SQLITE, _APPLICATION_AT = b"SQLite format 3\x00", 68

_CARD_COLUMNS = {
    "id": str,
    "name": str,
    "number": str,
    "set_id": str,
    "set_name": str,
    "printed_total": int,
    "rarity": str,
    "released": str,
    "art": str,
    "artist": str,
    "health": str,
    "region": str,
    "promo": int,
    "category": str,
    "mark": str,
    "year": int,
    "names": str,
    "attacks": str,
    "abilities": str,
    "variants": str,
    "words": str,
    "codes": str,
}
_SET_COLUMNS = {
    "id": str,
    "region": str,
    "names": str,
    "code": str,
    "codes": str,
    "official": int,
    "released": str,
    "cards": int,
    "source": str,
    "digest": str,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PackReference:
    """The reference of a printing's picture, with its hash and, where there is one, its vector.

    `source` is the SHA-256 of the picture's file.
    """

    card_id: str
    bits: Bits
    reference: Reference
    vector: Vectors | None = None
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenPack:
    """The figures of a written pack."""

    version: str
    cards: int
    twinned: int
    images: int


class PackWriter:
    """A pack that is being written, new or as a copy of an earlier one."""

    def __init__(self, path: Path, *, copied: bool = False) -> None:
        """Open `path`: a copy of a pack that this version wrote, or a path without a file."""
        self._db = sqlite_utils.Database(sqlite3.connect(path))
        # The file gets its name only when it is complete, and is synced before.
        self._run("PRAGMA journal_mode = OFF")
        self._run("PRAGMA synchronous = OFF")
        self._run(f"PRAGMA application_id = {int.from_bytes(APPLICATION, 'big')}")
        self._moves: dict[str, int] = {}
        self._last_move = 0
        self._changed = not copied
        if copied:
            self._moves = {names: id_ for id_, names in self._rows("SELECT id, names FROM moves")}
            self._last_move = max(self._moves.values(), default=0)
        else:
            self._create()

    def sets(self) -> dict[str, str]:
        """Return the sources' digests of the sets that are in it, by set."""
        return dict(self._rows("SELECT id, source FROM sets"))

    def pictures(self) -> dict[str, str]:
        """Return the digests of the pictures that references were made of, by printing."""
        return dict(self._rows("SELECT card_id, source FROM looks"))

    def card_ids(self) -> set[str]:
        """Return the printings that are in it."""
        return {row[0] for row in self._rows("SELECT id FROM cards")}

    def arts(self, card_ids: Iterable[str]) -> dict[str, str]:
        """Return the art keys of printings."""
        wanted = set(card_ids)
        rows = self._rows("SELECT id, art FROM cards")
        return {card_id: art for card_id, art in rows if card_id in wanted}

    def put_set(self, of_set: CatalogueSet, source: str) -> list[str]:
        """Put a set in, in place of an earlier one of its identifier.

        Return the printings that another set has already: they are left with that set.
        """
        self.drop_set(of_set.id)
        known = self.card_ids_of(printing.id for printing in of_set.printings)
        printings = [one for one in of_set.printings if one.id not in known]
        self._insert("cards", (self._card_row(printing, of_set) for printing in printings))
        self._insert("sets", [_set_row(of_set, source, len(printings))])
        return sorted(known)

    def drop_set(self, set_id: str) -> None:
        """Take a set out."""
        self._changed = True
        self._run("DELETE FROM cards WHERE set_id = ?", [set_id])
        self._run("DELETE FROM sets WHERE id = ?", [set_id])

    def card_ids_of(self, wanted: Iterable[str]) -> set[str]:
        """Return which of these printings are in it."""
        known = "SELECT 1 FROM cards WHERE id = ?"
        return {card_id for card_id in wanted if self._rows(known, [card_id])}

    def put_references(self, references: Iterable[PackReference]) -> None:
        """Put references in, one by one, so that a large catalogue needs no more memory."""
        self._insert("looks", map(_reference_row, references))

    def drop_references(self, card_ids: Iterable[str]) -> None:
        """Take references out."""
        for card_id in card_ids:
            self._run("DELETE FROM looks WHERE card_id = ?", [card_id])

    def put_prices(self, prices: Iterable[LastPrice]) -> None:
        """Put these prices in, in place of all others."""
        self._run("DELETE FROM prices")
        self._insert("prices", map(_price_row, sorted(prices, key=_price_key)))

    def finish(self, meta: Mapping[str, str], *, embedded_by: str) -> WrittenPack:
        """Complete the pack, and return its figures.

        `embedded_by` is the version of the model that made the references' vectors; empty without.
        """
        if self._changed:
            self._run(f"INSERT INTO {SEARCH_TABLE}({SEARCH_TABLE}) VALUES ('rebuild')")  # noqa: S608 - a constant
        written = WrittenPack(
            version=self._version(embedded_by),
            cards=self._count("cards"),
            twinned=count_twinned(self._rows("SELECT art, artist FROM cards")),
            images=self._count("looks"),
        )
        values: dict[str, object] = {
            "schema": SCHEMA,
            "reading": READING,
            "version": written.version,
            "cards": written.cards,
            "images": written.images,
            "embedding": embedded_by,
            **meta,
        }
        self._run("DELETE FROM meta")
        self._insert("meta", ({"key": key, "value": str(value)} for key, value in values.items()))
        self._db.conn.commit()
        return written

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _create(self) -> None:
        self._db.table("cards").create(_CARD_COLUMNS, pk="id")
        self._db.table("cards").create_index(["art"])
        self._db.table("cards").create_index(["set_id"])
        self._db.table("sets").create(_SET_COLUMNS, pk="id")
        self._db.table("moves").create({"id": int, "names": str}, pk="id")
        self._run(
            f"CREATE VIRTUAL TABLE {SEARCH_TABLE} USING fts5({', '.join(SEARCH_COLUMNS)},"
            " content='cards', tokenize='unicode61 remove_diacritics 2')"
        )
        self._db.table("looks").create(
            {
                "card_id": str,
                "bits": bytes,
                "points": bytes,
                "descriptors": bytes,
                "thumb": bytes,
                "vector": bytes,
                "source": str,
                "digest": str,
            },
            pk="card_id",
        )
        self._db.table("prices").create(
            {
                "card_id": str,
                "finish": str,
                "edition": str,
                "minor": int,
                "currency": str,
                "as_of": str,
                "source": str,
            },
            pk=("card_id", "finish", "edition"),
        )
        self._db.table("meta").create({"key": str, "value": str}, pk="key")

    def _version(self, embedded_by: str) -> str:
        """Return a digest of the content, whatever the order in which it was put in."""
        digest = sha256(f"schema {SCHEMA}.{READING} {embedded_by}".encode())
        for query in (
            "SELECT id, digest FROM sets ORDER BY id",
            "SELECT card_id, digest FROM looks ORDER BY card_id",
            "SELECT * FROM prices ORDER BY card_id, finish, edition",
        ):
            for row in self._rows(query):
                digest.update(repr(row).encode())
        return digest.hexdigest()[:12]

    def _card_row(self, printing: Printing, of_set: CatalogueSet) -> dict[str, Any]:
        name, set_name = name_in(printing.names, None), name_in(of_set.names, None)
        others = {*printing.names.values(), *of_set.names.values()} - {name, set_name}
        codes = {of_set.code, *of_set.codes.values()} - {""}
        return {
            "id": printing.id,
            "name": name,
            "number": printing.number,
            "set_id": of_set.id,
            "set_name": set_name,
            "printed_total": of_set.official or None,
            "rarity": printing.rarity,
            "released": of_set.released,
            "art": art_key(printing, of_set.region),
            "artist": printing.artist,
            "health": printing.health,
            "region": of_set.region.value,
            "promo": int(_is_promo(printing, of_set)),
            "category": printing.category,
            "mark": printing.regulation_mark,
            "year": printing.copyright_year,
            "names": _json(printing.names),
            "attacks": _json([self._move(names) for names in printing.attacks]),
            "abilities": _json([self._move(names) for names in printing.abilities]),
            # The numbers of products at market places are for the cloud.
            "variants": _json(
                [
                    msgspec.structs.replace(variant, tcgplayer=None, cardmarket=None)
                    for variant in printing.variants
                ]
            )
            if printing.variants
            else "",
            "words": " ".join(sorted(others)),
            "codes": " ".join(sorted(codes)),
        }

    def _move(self, names: Names) -> int:
        """Return the number of an attack's or ability's names: many cards share them."""
        key = _json(dict(sorted(names.items())))
        known = self._moves.get(key)
        if known is None:
            self._last_move += 1
            known = self._moves[key] = self._last_move
            self._insert("moves", [{"id": known, "names": key}])
        return known

    def _insert(self, table: str, rows: Iterable[dict[str, Any]]) -> None:
        for row in rows:
            places = ", ".join(f":{column}" for column in row)
            self._run(f"INSERT OR REPLACE INTO {table} ({', '.join(row)}) VALUES ({places})", row)  # noqa: S608 - names of this module

    def _count(self, table: str) -> int:
        return int(self._rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - as above

    def _run(self, sql: str, values: Any = ()) -> None:
        self._db.conn.execute(sql, values)

    def _rows(self, sql: str, values: Any = ()) -> list[Any]:
        return self._db.conn.execute(sql, values).fetchall()


def meta_of(path: Path) -> dict[str, str] | None:
    """Return what a pack says of itself; None for a file that this version cannot extend."""
    try:
        with closing(_read_only(path)) as database:
            meta = dict(database.execute("SELECT key, value FROM meta"))
            (state,) = database.execute("PRAGMA quick_check").fetchone()
    except sqlite3.Error:
        return None
    known = (meta.get("schema"), meta.get("reading")) == (str(SCHEMA), str(READING))
    return meta if known and state == "ok" else None


def may_be_pack(path: Path) -> bool:
    """Return whether a file is a pack, damaged or not, or empty: another may take its place."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        header = file.read(_APPLICATION_AT + len(APPLICATION))
    if not header.startswith(_SQLITE):
        return not header
    return header[_APPLICATION_AT:] == APPLICATION or _has_tables(path)


def _has_tables(path: Path) -> bool:
    """Return whether a database has a pack's tables: packs of before say no more."""
    try:
        with closing(_read_only(path)) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        return False
    return {"cards", "looks", "meta"} <= tables


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


class Contents(NamedTuple):
    """The printings of a pack, and those with a picture, with variants, with a name by language."""

    cards: frozenset[str] = frozenset()
    pictures: frozenset[str] = frozenset()
    variants: frozenset[str] = frozenset()
    names: frozenset[tuple[str, str]] = frozenset()


def contents(path: Path) -> Contents:
    """Return what a pack has, of this version or an earlier one; nothing for what is no pack."""
    try:
        with closing(_read_only(path)) as database:
            return Contents(
                frozenset(_column(database, "SELECT id, '' FROM cards")),
                frozenset(_column(database, "SELECT card_id, '' FROM looks")),
                frozenset(_column(database, "SELECT id, '' FROM cards WHERE variants <> ''")),
                frozenset(_pairs(database, _NAMED)),
            )
    except sqlite3.Error:
        return Contents()


def prices_in(path: Path) -> list[LastPrice]:
    """Return the last known prices of a pack; none for what is no pack, or has none."""
    sql = "SELECT card_id, finish, edition, minor, currency, as_of, source FROM prices"
    try:
        with closing(_read_only(path)) as database:
            rows = database.execute(sql).fetchall()
        return [
            LastPrice(
                card=card,
                price=Money(minor=minor, currency=currency),
                as_of=datetime.fromisoformat(as_of),
                source=source,
                finish=Finish(finish) if finish else None,
                edition=Edition(edition) if edition else None,
            )
            for card, finish, edition, minor, currency, as_of, source in rows
        ]
    except (sqlite3.Error, ValueError, TypeError):
        return []


_NAMED = "SELECT cards.id, named.key FROM cards, json_each(cards.names) AS named"


def _column(database: sqlite3.Connection, sql: str) -> list[str]:
    return [one for one, _ in _pairs(database, sql)]


def _pairs(database: sqlite3.Connection, sql: str) -> list[tuple[str, str]]:
    """Return the rows of a query; none where the pack is of before its columns, or damaged."""
    try:
        return database.execute(sql).fetchall()
    except sqlite3.DatabaseError:
        return []


def _is_promo(printing: Printing, of_set: CatalogueSet) -> bool:
    """Return whether a card prints its number without a total."""
    return (
        printing.rarity == "Promo" or not of_set.official or "Promo" in name_in(of_set.names, "en")
    )


def _set_row(of_set: CatalogueSet, source: str, cards: int) -> dict[str, Any]:
    return {
        "id": of_set.id,
        "region": of_set.region.value,
        "names": _json(of_set.names),
        "code": of_set.code,
        "codes": _json(of_set.codes),
        "official": of_set.official,
        "released": of_set.released,
        "cards": cards,
        "source": source,
        "digest": sha256(msgspec.json.encode(of_set)).hexdigest(),
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _price_key(price: LastPrice) -> tuple[str, str, str]:
    return price.card, price.finish or "", price.edition or ""


def _price_row(price: LastPrice) -> dict[str, Any]:
    card, finish, edition = _price_key(price)
    return {
        "card_id": card,
        "finish": str(finish),
        "edition": str(edition),
        "minor": price.price.minor,
        "currency": price.price.currency,
        "as_of": price.as_of.isoformat(),
        "source": price.source,
    }


def _reference_row(reference: PackReference) -> dict[str, Any]:
    _, thumb = cv2.imencode(".jpg", reference.reference.thumb, [cv2.IMWRITE_JPEG_QUALITY, 92])
    features = reference.reference.features
    bits, encoded = reference.bits.tobytes(), thumb.tobytes()
    return {
        "card_id": reference.card_id,
        "bits": bits,
        # A 64th of a pixel is finer than features are located.
        "points": (features.points * 64).round().astype(np.uint16).tobytes(),
        "descriptors": features.descriptors.tobytes(),
        "thumb": encoded,
        "vector": b"" if reference.vector is None else reference.vector.tobytes(),
        "source": reference.source,
        "digest": sha256(bits + encoded).hexdigest(),
    }
