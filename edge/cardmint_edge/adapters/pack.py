"""The catalogue pack: one SQLite file with all printings and the references of their pictures."""

import io
import sqlite3
import struct
import threading
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from cardmint_contracts.cards import Card, Edition, Finish, Money, ScanDefaults
from cardmint_contracts.prices import LastPrice
from cardmint_edge.domain.reading.catalogue_texts import PrintedFacts
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.embedding import SIZE, Vectors
from cardmint_edge.domain.vision.hashing import WORDS, Bits
from cardmint_edge.domain.vision.matching import THUMB_SIZE, Features, Reference
from cardmint_edge.errors import Stop

SCHEMA = 2
"""Version of the pack's tables. The references are the table `looks`."""
SEARCH_TABLE = "cards_fts"
MAX_VALUE_BYTES = 8 << 20
"""Bytes of one value of a pack, at most: pictures have some kilobytes."""

_COLUMNS = "SELECT name, hidden FROM pragma_table_xinfo(:name)"
_REBUILD = "build it again with `cardmint-edge catalogue build`"


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
        if meta.get("schema") != str(SCHEMA):
            raise Stop(
                f"{self._path}: a pack of schema {meta.get('schema')},"
                f" this program reads {SCHEMA}: {_REBUILD}"
            )
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
    def hashes(self) -> Bits:
        """The hashes of the printings with a picture, rows x WORDS."""
        return self._hashes

    @property
    def vectors(self) -> Vectors:
        """The vectors of the printings with a picture, rows x SIZE; no rows without an embedding.

        `embedded_by` is the version of the model that made them.
        """
        return self._vectors

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
        rows = self._rows(
            "SELECT id, name, number, set_id, set_name FROM cards WHERE id = :id", {"id": card_id}
        )
        return _card(rows[0]) if rows else None

    def picture(self, card_id: str) -> bytes | None:
        """Return a printing's thumbnail as JPEG; None without a picture."""
        rows = self._rows("SELECT thumb FROM looks WHERE card_id = :id", {"id": card_id})
        return bytes(rows[0][0]) if rows else None

    def row(self, card_id: str) -> int | None:
        """Return the row of a printing's picture; None without a picture."""
        return self._row_of.get(card_id)

    def prints(self) -> list[PrintedFacts]:
        """Return the print of all printings, with and without a picture."""
        rows = self._rows(
            "SELECT id, name, number, printed_total, rarity, health, artist FROM cards ORDER BY id"
        )
        return [
            PrintedFacts(
                card_id=id_,
                name=name,
                number=number,
                total=total,
                promo=rarity == "Promo",
                health=health,
                artist=artist,
            )
            for id_, name, number, total, rarity, health, artist in rows
        ]

    def search(self, text: str, limit: int = 20) -> list[Card]:
        """Find printings by the first letters of words of name, number and set, in any order.

        An example: `zwirl 012 dusk`.
        """
        words = [
            word for word in ("".join(c if c.isalnum() else " " for c in text)).split() if word
        ][:12]
        if not words:
            return []
        query = " ".join(f'"{word}"*' for word in words)
        rows = self._rows(
            "SELECT id, name, number, set_id, set_name FROM cards WHERE rowid IN"
            " (SELECT rowid FROM cards_fts WHERE cards_fts MATCH :query LIMIT 1000)"
            " ORDER BY length(name), released DESC, id LIMIT :limit",
            {"query": query, "limit": limit},
        )
        return [_card(row) for row in rows]

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
        try:
            with self._lock:
                return self._connection.execute(sql, values or {}).fetchall()
        except sqlite3.DatabaseError as error:
            message = f"{self._path}: not a pack, or damaged ({error}): {_REBUILD}"
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
