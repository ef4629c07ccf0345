"""The catalogue pack: one SQLite file with all printings and the references of their pictures."""

import io
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from msgspec import DecodeError, ValidationError, json
from PIL import Image

from cardmint_contracts.cards import Card, Edition, Finish, Language, Money, ScanDefaults
from cardmint_contracts.catalogue import Names, Printing, Region, Variant, name_in
from cardmint_contracts.prices import LastPrice
from cardmint_contracts.wire import convert
from cardmint_edge.domain.catalogue.pack_contents import PackContents
from cardmint_edge.domain.catalogue.search_query import parse_query
from cardmint_edge.domain.reading.catalogue_texts import PrintedFacts
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.embedding import SIZE, Vectors
from cardmint_edge.domain.vision.hashing import WORDS, Bits
from cardmint_edge.domain.vision.matching import THUMB_SIZE, Features, Reference
from cardmint_edge.errors import Stop

SCHEMA = 3
"""Version of the pack's tables. The references are the table `looks`."""
EARLIER_SCHEMA = 2
"""The version before, which is read too: English names only, and nothing about variants."""
SEARCH_TABLE = "cards_fts"
SEARCH_COLUMNS = ("name", "number", "set_id", "set_name", "words", "codes")
MAX_VALUE_BYTES = 8 << 20
ROWS_AT_ONCE = 500
"""Bytes of one value of a pack, at most: pictures have some kilobytes."""

T = TypeVar("T")

_COLUMNS = "SELECT name, hidden FROM pragma_table_xinfo(:name)"
_REBUILD = "build it again with `cardmint-edge catalogue build`"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedSet:
    """A set of a pack. `codes` are those that its cards print, `official` 0 without a count."""

    id: str
    region: Region
    names: Names
    codes: tuple[str, ...]
    official: int
    released: str
    cards: int


class Pack:
    """An open pack: a gallery for the recogniser, and a catalogue to search.

    Safe to share between threads.
    """

    def __init__(self, path: Path) -> None:
        """Open a pack for reading.

        Raises:
            Stop: the file is missing, cut short or no pack, or has another schema.
        """
        self._path = path
        self._lock = threading.Lock()
        self._connection = _open(path)
        try:
            self._load()
        except (KeyError, ValueError, TypeError):
            self.close()
            message = f"{path}: the pack is damaged: {_REBUILD}"
            raise Stop(message) from None
        except Stop:
            self.close()
            raise
        self.reference = lru_cache(maxsize=512)(self._reference)

    def _load(self) -> None:
        self._check_tables()
        meta = dict(self._rows("SELECT key, value FROM meta"))
        if meta.get("schema") not in {str(SCHEMA), str(EARLIER_SCHEMA)}:
            raise Stop(
                f"{self._path}: a pack of schema {meta.get('schema')},"
                f" this program reads {SCHEMA}: {_REBUILD}"
            )
        self._whole = meta["schema"] == str(SCHEMA)
        self._made_at = _moment(meta.get("made_at") or meta.get("built_at", ""))
        newest = [one for one in self.sets() if "en" in one.names]
        self._newest_set = newest[0].names["en"] if newest else ""
        # Packs of early versions have no table of prices.
        self._priced = bool(self._rows("SELECT 1 FROM sqlite_master WHERE name = 'prices'"))
        self.embedded_by: str = meta.get("embedding", "")
        vector = "vector" if self.embedded_by else "x''"
        references = self._rows(
            f"SELECT card_id, bits, {vector} FROM looks ORDER BY card_id"  # noqa: S608 - one of two constants
        )
        self._version: str = meta["version"]
        self.cards = int(meta["cards"])
        self._ids: list[str] = [row[0] for row in references]
        self._row_of = {card_id: row for row, card_id in enumerate(self._ids)}
        self._hashes = np.frombuffer(
            b"".join(row[1] for row in references), dtype=np.uint64
        ).reshape(-1, WORDS)
        vectors = np.frombuffer(b"".join(row[2] for row in references), dtype=np.int8).reshape(
            -1, SIZE
        )
        if len(vectors) != len(self._ids) * bool(self.embedded_by):
            raise Stop(
                f"{self._path}: {len(vectors)} of {len(self._ids)} pictures have a vector:"
                f" {_REBUILD}"
            )
        self._vectors: Vectors = vectors
        if len(self._ids) != int(meta["images"]):
            raise Stop(
                f"{self._path}: {len(self._ids)} pictures,"
                f" but {meta['images']} were built in: {_REBUILD}"
            )

    def _check_tables(self) -> None:
        """Refuse what could compute rows without end, or larger than the file: only tables do not.

        Raises:
            Stop: there is a view, a trigger, a computed column, or a virtual table other than the
                search's.
        """
        for kind, name, sql in self._rows("SELECT type, name, sql FROM sqlite_master"):
            computed = kind == "table" and any(
                hidden for *_, hidden in self._rows(_COLUMNS, {"name": name})
            )
            virtual = str(sql).lstrip().upper().startswith("CREATE VIRTUAL")
            if (
                kind not in {"table", "index"}
                or (computed and not virtual)
                or (virtual and name != SEARCH_TABLE)
            ):
                raise Stop(f"{self._path}: not a pack: {name} is no plain table: {_REBUILD}")

    @property
    def version(self) -> str:
        """The pack's version: a digest of its content."""
        return self._version

    @property
    def made_at(self) -> datetime | None:
        """When the catalogue's source was last asked; None where the pack does not say."""
        return self._made_at

    @property
    def newest_set(self) -> str:
        """The English name of the set that came out last; empty in an earlier pack."""
        return self._newest_set

    @property
    def hashes(self) -> Bits:
        """The hashes of the printings with a picture, rows x WORDS."""
        return self._hashes

    @property
    def vectors(self) -> Vectors:
        """The vectors of the printings with a picture, rows x SIZE; no rows without an embedding.

        `embedded_by` is the version of the model that made them.
        """
        return self._vectors

    def contents(self) -> PackContents:
        """Return which printings the pack has, and how many pictures and names."""
        cards = frozenset(row[0] for row in self._each("SELECT id FROM cards"))
        named = (
            "SELECT named.key, count(*) FROM cards, json_each(cards.names) AS named GROUP BY 1"
            if self._whole
            else "SELECT 'en', count(*) FROM cards"
        )
        return PackContents(cards=cards, pictures=len(self._ids), names=dict(self._rows(named)))

    def printing(self, row: int) -> Card:
        """Return the printing of a row of `hashes`."""
        card = self.card(self._ids[row])
        if card is None:
            raise Stop(
                f"{self._path}: {self._ids[row]} has a picture, but is not among the printings:"
                f" {_REBUILD}"
            )
        return card

    def twins(self, row: int) -> tuple[Card, ...]:
        """Return the twins of a row's printing: same name and attacks, and no other artist."""
        art, artist = self._rows(
            "SELECT art, artist FROM cards WHERE id = :id", {"id": self._ids[row]}
        )[0]
        rows = self._rows(
            "SELECT id, name, number, set_id, set_name FROM cards"
            " WHERE id != :id AND art = :art"
            " AND (artist = :artist COLLATE NOCASE OR artist = '' OR :artist = '') ORDER BY id",
            {"id": self._ids[row], "art": art, "artist": artist},
        )
        return tuple(_card(values) for values in rows)

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its identifier; None for an unknown one."""
        return self.named(card_id, None)

    def named(self, card_id: str, language: Language | None) -> Card | None:
        """Return a printing, named in a language where the catalogue has it; None when unknown."""
        found = self._cards("id = :id", {"id": card_id}, language)
        return found[0] if found else None

    def variants(self, card_id: str) -> tuple[Variant, ...]:
        """Return the variants of a printing; () when none are known."""
        facts = self.facts(card_id)
        return facts.variants if facts else ()

    def languages(self, card_id: str) -> tuple[Language, ...]:
        """Return the languages in which a printing exists; () when none are known."""
        facts = self.facts(card_id)
        return tuple(facts.names) if facts else ()

    def facts(self, card_id: str) -> Printing | None:
        """Return what the catalogue knows of a printing; None when unknown, or an earlier pack."""
        if not self._whole:
            return None
        rows = self._rows(
            "SELECT id, number, names, category, attacks, abilities, health, artist, rarity, mark,"
            " year, variants FROM cards WHERE id = :id",
            {"id": card_id},
        )
        if not rows:
            return None
        id_, number, names, category, attacks, abilities, *rest = rows[0]
        health, artist, rarity, mark, year, variants = rest
        try:
            return convert(
                {
                    "id": id_,
                    "number": number,
                    "names": self._json(names, Names),
                    "category": category,
                    "attacks": self._move_names(attacks),
                    "abilities": self._move_names(abilities),
                    "health": health,
                    "artist": artist,
                    "rarity": rarity,
                    "regulation_mark": mark,
                    "copyright_year": year,
                    "variants": self._json(variants, list[Any]) if variants else [],
                },
                Printing,
            )
        except ValidationError as error:
            raise self._damaged(f"{card_id}: {error}") from None

    def sets(self) -> tuple[PackedSet, ...]:
        """Return the sets, the newest first; none of an earlier pack."""
        if not self._whole:
            return ()
        rows = self._rows(
            "SELECT id, region, names, code, codes, official, released, cards FROM sets"
            " ORDER BY released DESC, id"
        )
        return tuple(
            PackedSet(
                id=id_,
                region=Region(region),
                names=self._json(names, Names),
                codes=tuple(dict.fromkeys([code, *self._json(codes, dict[str, str]).values()]))
                if code
                else (),
                official=official,
                released=released,
                cards=cards,
            )
            for id_, region, names, code, codes, official, released, cards in rows
        )

    def moves(self, card_id: str) -> list[Names]:
        """Return a printing's attacks and abilities, each with its names by language.

        None are known of an unknown printing, or from an earlier pack.
        """
        if not self._whole:
            return []
        rows = self._rows("SELECT attacks, abilities FROM cards WHERE id = :id", {"id": card_id})
        known = [numbers for row in rows for numbers in row]
        return [names for numbers in known for names in self._move_names(numbers)]

    def _move_names(self, numbers: str) -> list[Names]:
        """Return the names of attacks or abilities by their numbers."""
        found: list[Names] = []
        for number in self._json(numbers, list[int]):
            rows = self._rows("SELECT names FROM moves WHERE id = :id", {"id": number})
            found += [self._json(names, Names) for (names,) in rows]
        return found

    def _json(self, text: object, shape: type[T]) -> T:
        """Read a value that is JSON.

        Raises:
            Stop: it is none, or has another shape.
        """
        try:
            return json.decode(str(text), type=shape)
        except (DecodeError, UnicodeError, RecursionError) as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, what: str) -> Stop:
        return Stop(f"{self._path}: the pack is damaged ({what}): {_REBUILD}")

    def _cards(
        self, where: str, values: dict[str, object], language: Language | None
    ) -> list[Card]:
        """Return the printings of a condition, in its order, named in a language."""
        others = (
            "names, (SELECT names FROM sets WHERE sets.id = set_id)" if self._whole else "'', ''"
        )
        rows = self._rows(
            f"SELECT id, name, number, set_id, set_name, {others} FROM cards WHERE {where}",  # noqa: S608 - texts of this module
            values,
        )
        return [self._named_card(row, language) for row in rows]

    def _named_card(self, row: tuple[str, ...], language: Language | None) -> Card:
        id_, name, number, set_id, set_name, names, set_names = row
        if language is not None and names:
            name = name_in(self._json(names, Names), language) or name
            set_name = name_in(self._json(set_names, Names), language) if set_names else set_name
        return Card(id=id_, name=name, number=number, set_id=set_id, set_name=set_name)

    def picture(self, card_id: str) -> bytes | None:
        """Return a printing's thumbnail as JPEG; None without a picture."""
        rows = self._rows("SELECT thumb FROM looks WHERE card_id = :id", {"id": card_id})
        return bytes(rows[0][0]) if rows else None

    def row(self, card_id: str) -> int | None:
        """Return the row of a printing's picture; None without a picture."""
        return self._row_of.get(card_id)

    def prints(self) -> Iterator[PrintedFacts]:
        """Yield the print of all printings in English, with and without a picture.

        The reader compares English names, and the number of any other card alone names nothing.
        """
        promo, english, names, code = "rarity = 'Promo'", "1", "''", "''"
        energy = "name LIKE '% Energy'"
        if self._whole:
            promo, names = "promo", "names"
            energy = f"category = 'energy' OR category = '' AND {energy}"
            code = "(SELECT code FROM sets WHERE sets.id = set_id)"
            english = "region = 'international' AND names LIKE '%\"en\":%'"
        query = (
            f"SELECT id, name, number, printed_total, {promo}, health, artist, {names},"  # noqa: S608 - constants
            f" {code}, {energy} FROM cards WHERE {english} ORDER BY id"
        )
        for id_, name, number, total, is_promo, health, artist, *more in self._each(query):
            named, printed, is_energy = more
            yield PrintedFacts(
                card_id=id_,
                name=name,
                number=number,
                total=total,
                promo=bool(is_promo),
                health=health,
                artist=artist,
                names=self._json(named, Names) if named else {},
                code=printed or "",
                energy=bool(is_energy),
            )

    def search(self, text: str, limit: int = 20, language: Language | None = None) -> list[Card]:
        """Find printings by what is printed on them, in any order.

        Words begin a word of the name in any language, of the set's name, its identifier or its
        printed code, or the number; `4/102` is number and count. Examples: `zwirl 012 dusk`,
        `PAF 7`, `dracaufeu 4/102`. The cards are named in `language` where the catalogue has it.
        """
        query = parse_query(text)
        if query is None:
            return []
        region = "region DESC, " if self._whole else ""
        conditions, values = ["1"], dict[str, object](limit=limit, exact=query.exact)
        if query.words:
            conditions.append(
                "rowid IN (SELECT rowid FROM cards_fts WHERE cards_fts MATCH :query LIMIT 2000)"
            )
            values["query"] = " AND ".join(
                f'("{word}"* OR "{bare}"*)'
                if (bare := word.lstrip("0")) not in {word, ""}
                else f'"{word}"*'
                for word in query.words
            )
        if query.total is not None:
            conditions.append("number = :number COLLATE NOCASE AND printed_total = :total")
            values |= {"number": query.number, "total": query.total}
        return self._cards(
            " AND ".join(conditions)
            + f" ORDER BY number != :exact, {region}length(name), released DESC, id LIMIT :limit",
            values,
            language,
        )

    def price(self, card_id: str, defaults: ScanDefaults) -> LastPrice | None:
        """Return the last known price of a printing with the defaults' finish and edition.

        None: the pack has no such price.
        """
        if not self._priced:
            return None
        rows = self._rows(
            "SELECT finish, edition, minor, currency, as_of, source FROM prices"
            " WHERE card_id = :id AND finish IN (:finish, '') AND edition IN (:edition, '')"
            " ORDER BY finish = '', edition = '' LIMIT 1",
            {"id": card_id, "finish": defaults.finish or "", "edition": defaults.edition or ""},
        )
        if not rows:
            return None
        finish, edition, minor, currency, as_of, source = rows[0]
        return LastPrice(
            card=card_id,
            price=Money(minor=minor, currency=currency),
            as_of=datetime.fromisoformat(as_of),
            source=source,
            finish=Finish(finish) if finish else None,
            edition=Edition(edition) if edition else None,
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _reference(self, row: int) -> Reference:
        card_id = self._ids[row]
        rows = self._rows(
            "SELECT points, descriptors, thumb FROM looks WHERE card_id = :id", {"id": card_id}
        )
        points, descriptors, thumb = rows[0]
        picture = _decode_thumb(thumb)
        if picture is None:
            message = f"{self._path}: the picture of {card_id} is damaged: {_REBUILD}"
            raise Stop(message)
        features = Features(
            points=(np.frombuffer(points, dtype=np.uint16).reshape(-1, 2) / 64).astype(np.float32),
            descriptors=np.frombuffer(descriptors, dtype=np.uint8).reshape(-1, 32),
        )
        return Reference(features=features, thumb=picture)

    def _rows(self, sql: str, values: dict[str, object] | None = None) -> list[Any]:
        with self._reading():
            return self._connection.execute(sql, values or {}).fetchall()

    def _each(self, sql: str) -> Iterator[Any]:
        """Yield rows without having all of them in memory."""
        with self._reading():
            cursor = self._connection.execute(sql)
        while True:
            with self._reading():
                rows = cursor.fetchmany(ROWS_AT_ONCE)
            if not rows:
                return
            yield from rows

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Hold the connection, and turn an error of it into Stop."""
        try:
            with self._lock:
                yield
        except (sqlite3.DatabaseError, MemoryError) as error:
            # A damaged file may say that a row has more bytes than there is memory.
            message = f"{self._path}: not a pack, or damaged ({error!r}): {_REBUILD}"
            raise Stop(message) from None


def _decode_thumb(thumb: bytes) -> Frame | None:
    """Decode a thumbnail; None for any other picture. Its size is read before any pixel is."""
    try:
        with Image.open(io.BytesIO(thumb), formats=("JPEG", "PNG", "WEBP")) as image:
            size = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if size != THUMB_SIZE:
        return None
    picture = cv2.imdecode(np.frombuffer(thumb, dtype=np.uint8), cv2.IMREAD_COLOR)
    if picture is None or picture.shape[1::-1] != THUMB_SIZE:
        return None
    return np.asarray(picture, dtype=np.uint8)


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _card(row: tuple[str, str, str, str, str]) -> Card:
    return Card(id=row[0], name=row[1], number=row[2], set_id=row[3], set_name=row[4])


def _open(path: Path) -> sqlite3.Connection:
    try:
        with path.open("rb") as file:
            header = file.read(100)
        size = path.stat().st_size
    except OSError as error:
        message = f"{path}: the pack cannot be read ({error.strerror}): name another, or {_REBUILD}"
        raise Stop(message) from None
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        message = f"{path}: not a pack, not even SQLite: {_REBUILD}"
        raise Stop(message)
    page, pages = struct.unpack(">H", header[16:18])[0], struct.unpack(">I", header[28:32])[0]
    if size < (65536 if page == 1 else page) * pages:
        message = f"{path}: the pack is cut short ({size} bytes): copy it again, or {_REBUILD}"
        raise Stop(message)
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
    )
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
