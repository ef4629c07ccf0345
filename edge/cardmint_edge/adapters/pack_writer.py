"""Writing a catalogue pack: apart from reading one, because a station only reads."""

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
    """A printing as the pack keeps it.

    Printings of the same `art` may carry the same picture unless artists differ.
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
    """A printing's picture as the pack keeps it."""

    card_id: str
    bits: Bits
    reference: Reference
    vector: Vectors | None = None


def write_pack(
    path: Path,
    facts: Iterable[PrintingFacts],
    looks: Iterable[PackReference],
    built_at: str,
    prices: Iterable[LastPrice] = (),
    *,
    embedded_by: str = "",
) -> tuple[str, int]:
    """Write a pack to a path that does not exist yet.

    Return its version, and how many looks there were.

    `embedded_by` is the version of the model that made the looks' vectors, when they have any.

    The looks are written as they come, so that a large catalogue needs no more memory than a small
    one.
    """
    digest = sha256(f"schema {SCHEMA}{embedded_by}".encode())
    db = sqlite_utils.Database(path)
    try:
        rows = [_fact_row(fact) for fact in sorted(facts, key=lambda fact: fact.card.id)]
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
        db.table("looks").insert_all(_look_rows(looks, digest.update), batch_size=200)
        quoted = [_price_row(price) for price in sorted(prices, key=_priced)]
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
        db.table("prices").insert_all(quoted, replace=True)
        if quoted:
            digest.update(repr(quoted).encode())
        images = db.table("looks").count
        version = digest.hexdigest()[:12]
        meta: dict[str, object] = {
            "schema": SCHEMA, "version": version, "cards": len(rows), "images": images, "built_at": built_at,
            "embedding": embedded_by,
        }  # fmt: skip
        db.table("meta").insert_all(
            [{"key": key, "value": str(value)} for key, value in meta.items()], pk="key"
        )
    finally:
        db.close()
    return version, images


def _look_rows(
    looks: Iterable[PackReference], digest: Callable[[bytes], None]
) -> Iterator[dict[str, Any]]:
    for look in looks:
        row = _look_row(look)
        digest(look.card_id.encode() + row["bits"] + row["thumb"])
        yield row


def _fact_row(fact: PrintingFacts) -> dict[str, Any]:
    card = fact.card
    return {
        "id": card.id, "name": card.name, "number": card.number, "set_id": card.set_id, "set_name": card.set_name,
        "printed_total": fact.printed_total, "rarity": fact.rarity, "released": fact.released, "art": fact.art,
        "artist": fact.artist, "health": fact.health,
    }  # fmt: skip


def _priced(price: LastPrice) -> tuple[str, str, str]:
    return price.card, price.finish or "", price.edition or ""


def _price_row(price: LastPrice) -> dict[str, Any]:
    card, finish, edition = _priced(price)
    return {
        "card_id": card, "finish": str(finish), "edition": str(edition), "minor": price.price.minor,
        "currency": price.price.currency, "as_of": price.as_of.isoformat(), "source": price.source,
    }  # fmt: skip


def _look_row(look: PackReference) -> dict[str, Any]:
    _, thumb = cv2.imencode(".jpg", look.reference.thumb, [cv2.IMWRITE_JPEG_QUALITY, 92])
    features = look.reference.features
    return {
        "card_id": look.card_id,
        "bits": look.bits.tobytes(),
        # A 64th of a pixel is finer than any feature is found.
        "points": (features.points * 64).round().astype(np.uint16).tobytes(),
        "descriptors": features.descriptors.tobytes(),
        "thumb": thumb.tobytes(),
        "vector": b"" if look.vector is None else look.vector.tobytes(),
    }
