"""Write the fictional set as a catalogue and scans, the way real ones come."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cardmint_lab.fictional.card_layout import press
from cardmint_lab.fictional.printings import EDITIONS, Printing, printings

WORKERS = 2


def issue(folder: Path) -> int:
    """Write `folder`/cards and `folder`/images, and return how many printings there are."""
    cards, images = folder / "cards", folder / "images"
    (cards / "sets").mkdir(parents=True, exist_ok=True)
    (cards / "cards" / "en").mkdir(parents=True, exist_ok=True)
    images.mkdir(parents=True, exist_ok=True)
    everything = printings()
    _write(cards / "sets" / "en.json", [_set(edition.id) for edition in EDITIONS])
    for edition in EDITIONS:
        entries = [_entry(card) for card in everything if card.edition is edition]
        _write(cards / "cards" / "en" / f"{edition.id}.json", entries)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(
            pool.map(
                lambda card: press(card).save(images / f"{card.id}.jpg", quality=90), everything
            )
        )
    return len(everything)


def _write(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    path.write_text(
        json.dumps(list(entries), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _set(edition_id: str) -> dict[str, Any]:
    edition = next(edition for edition in EDITIONS if edition.id == edition_id)
    total = sum(card.edition is edition for card in printings())
    return {
        "id": edition.id,
        "name": edition.name,
        "series": "Lanterns",
        "printedTotal": edition.total or total,
        "total": total,
        "ptcgoCode": edition.code,
        "releaseDate": edition.released,
    }


def _entry(card: Printing) -> dict[str, Any]:
    return {
        "id": card.id,
        "name": card.name,
        "supertype": "Creature",
        "hp": str(card.hp),
        "types": [card.element],
        "attacks": [
            {
                "name": attack.name,
                "convertedEnergyCost": attack.cost,
                "damage": str(attack.damage),
                "text": attack.text,
            }
            for attack in card.attacks
        ],
        "number": card.number,
        "artist": card.artist,
        "rarity": card.rarity,
        "finishes": ["normal", "reverse_holo"]
        if card.rarity != "Rare Holo"
        else ["holo", "reverse_holo"],
    }
