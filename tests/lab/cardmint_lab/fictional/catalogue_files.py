"""Writes the fictional game as catalogue and scans, in the layout of real ones."""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cardmint_lab.fictional.card_layout import press
from cardmint_lab.fictional.printings import FICTIONAL_SETS, Printing, printings

WORKERS = 2


def issue(folder: Path) -> int:
    """Write `folder`/cards and `folder`/images, and return the number of printings."""
    cards, images = folder / "cards", folder / "images"
    (cards / "sets").mkdir(parents=True, exist_ok=True)
    (cards / "cards" / "en").mkdir(parents=True, exist_ok=True)
    images.mkdir(parents=True, exist_ok=True)
    everything = printings()
    _write(cards / "sets" / "en.json", [_set(card_set.id) for card_set in FICTIONAL_SETS])
    for card_set in FICTIONAL_SETS:
        entries = [_entry(card) for card in everything if card.card_set is card_set]
        _write(cards / "cards" / "en" / f"{card_set.id}.json", entries)
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


def _set(set_id: str) -> dict[str, Any]:
    card_set = next(card_set for card_set in FICTIONAL_SETS if card_set.id == set_id)
    total = sum(card.card_set is card_set for card in printings())
    return {
        "id": card_set.id,
        "name": card_set.name,
        "series": "Lanterns",
        "printedTotal": card_set.total or total,
        "total": total,
        "ptcgoCode": card_set.code,
        "releaseDate": card_set.released,
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
