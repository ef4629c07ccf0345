"""Writing of catalogue packs. It is apart from reading, because a station only reads."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import sqlite_utils

from cardmint_contracts.cards import Card
from cardmint_contracts.prices import LastPrice
from cardmint_edge.adapters.pack import SCHEMA
from cardmint_edge.domain.vision.embedding import Vectors
from cardmint_edge.domain.vision.hashing import Bits
from cardmint_edge.domain.vision.matching import Reference


@dataclass(frozen=True, kw_only=True, slots=True)
class PrintingFacts:
    """A printing of the pack.

    Printings with the same `art` key are twins unless their artists differ.
    """

    card: Card
    printed_total: int | None
    rarity: str
    released: str
    art: str
    artist: str
    health: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackReference:
    """The reference of a printing's picture, with its hash and, where there is one, its vector."""

    card_id: str
    bits: Bits
    reference: Reference
    vector: Vectors | None = None


def write_pack(
    path: Path,
    printings: Iterable[PrintingFacts],
    references: Iterable[PackReference],
    built_at: str,
    prices: Iterable[LastPrice] = (),
    *,
    embedded_by: str = "",
) -> tuple[str, int]:
    """Write a pack to a path that does not exist yet. Return its version and number of references.

    `embedded_by` is the version of the model that made the references' vectors; empty without
    vectors. The references are written one by one, so that a large catalogue needs no more memory.
    """
    digest = sha256(f"schema {SCHEMA}{embedded_by}".encode())
    db = sqlite_utils.Database(path)
    try:
        rows = [
            _printing_row(printing)
            for printing in sorted(printings, key=lambda printing: printing.card.id)
        ]
        digest.update(repr(rows).encode())
        db.table("cards").insert_all(rows, pk="id", column_order=["id", "name", "number"])
        db.table("cards").create_index(["art"])
        db.table("cards").enable_fts(
            ["name", "number", "set_id", "set_name"], tokenize="unicode61 remove_diacritics 2"
        )
        db.table("looks").create(
            {
                "card_id": str,
                "bits": bytes,
                "points": bytes,
                "descriptors": bytes,
                "thumb": bytes,
                "vector": bytes,
            },
            pk="card_id",
        )
        db.table("looks").insert_all(_reference_rows(references, digest.update), batch_size=200)
        price_rows = [_price_row(price) for price in sorted(prices, key=_price_key)]
        db.table("prices").create(
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
        db.table("prices").insert_all(price_rows, replace=True)
        if price_rows:
            digest.update(repr(price_rows).encode())
        images = db.table("looks").count
        version = digest.hexdigest()[:12]
        meta: dict[str, object] = {
            "schema": SCHEMA,
            "version": version,
            "cards": len(rows),
            "images": images,
            "built_at": built_at,
            "embedding": embedded_by,
        }
        db.table("meta").insert_all(
            [{"key": key, "value": str(value)} for key, value in meta.items()], pk="key"
        )
    finally:
        db.close()
    return version, images


def _reference_rows(
    references: Iterable[PackReference], digest: Callable[[bytes], None]
) -> Iterator[dict[str, Any]]:
    for reference in references:
        row = _reference_row(reference)
        digest(reference.card_id.encode() + row["bits"] + row["thumb"])
        yield row


def _printing_row(printing: PrintingFacts) -> dict[str, Any]:
    card = printing.card
    return {
        "id": card.id,
        "name": card.name,
        "number": card.number,
        "set_id": card.set_id,
        "set_name": card.set_name,
        "printed_total": printing.printed_total,
        "rarity": printing.rarity,
        "released": printing.released,
        "art": printing.art,
        "artist": printing.artist,
        "health": printing.health,
    }


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
    return {
        "card_id": reference.card_id,
        "bits": reference.bits.tobytes(),
        # A 64th of a pixel is finer than features are located.
        "points": (features.points * 64).round().astype(np.uint16).tobytes(),
        "descriptors": features.descriptors.tobytes(),
        "thumb": thumb.tobytes(),
        "vector": b"" if reference.vector is None else reference.vector.tobytes(),
    }
