"""Count the letters of cards' texts in six languages, and write the table that stations carry.

    python -m cardmint_lab.training.trigrams --data DIR --out DIR

The texts are those of TCGdex's database under DIR: names and effects of attacks, abilities and
cards. It takes seconds, and gives the same table each time.
"""

import argparse
import json
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cardmint_edge.adapters.models import TRIGRAM_UNIT
from cardmint_edge.domain.reading.lexicon import plain
from cardmint_edge.domain.reading.trigrams import LANGUAGES, TRIGRAMS, trigrams_of

VERSION = 1

CARDS = "cards/international/*.json"

FOOT = {
    "en": "weakness resistance retreat cost weakness resistance retreat",
    "fr": "faiblesse resistance retraite cout de retraite faiblesse resistance retraite",
    "de": "schwache resistenz ruckzug ruckzugskosten schwache resistenz ruckzug",
    "it": "debolezza resistenza ritirata costo di ritirata debolezza resistenza ritirata",
    "es": "debilidad resistencia retirada coste de retirada debilidad resistencia retirada",
    "pt": "fraqueza resistencia recuo custo de recuo fraqueza resistencia recuar",
}
"""What stands below each card's rules, which the database does not say."""

FEET = 300
"""How often these words count; the rules have some million letters a language."""

MISREAD = 0.3
"""Share of letters that are misread, and say the same in every language."""

SMOOTHING = 0.5
"""Added to each trigram's count."""


def texts(folder: Path) -> dict[str, list[str]]:
    """Return the distinct texts of a database's cards by language, in order.

    Raises:
        SystemExit: the folder has none.
    """
    found: dict[str, set[str]] = {language: set() for language in LANGUAGES}
    for path in sorted(folder.glob(CARDS)):
        for card in json.loads(path.read_bytes()):
            for names in _names(card):
                for language in LANGUAGES:
                    if text := plain(names.get(language) or ""):
                        found[language].add(text)
    if not all(found.values()):
        message = f"{folder}: no texts of cards in all of {', '.join(LANGUAGES)}: {CARDS}"
        raise SystemExit(message)
    return {language: sorted(own) for language, own in found.items()}


def _names(card: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    moves = [*card.get("attacks", ()), *card.get("abilities", ())]
    for names in (card.get("effect"), *(move.get(key) for move in moves for key in _OF_MOVES)):
        if isinstance(names, dict):
            yield names


_OF_MOVES = ("name", "effect")


def table(by_language: Mapping[str, Sequence[str]]) -> NDArray[np.int8]:
    """Return the table (languages x TRIGRAMS), in units of TRIGRAM_UNIT."""
    counts = np.stack(
        [
            np.bincount(
                trigrams_of(" ".join([*by_language[language], *[FOOT[language]] * FEET])),
                minlength=TRIGRAMS,
            )
            for language in LANGUAGES
        ]
    )
    shares = counts + SMOOTHING
    shares /= shares.sum(axis=1, keepdims=True)
    together = shares.mean(axis=0)
    scores = np.log((1 - MISREAD) * shares / together + MISREAD)
    return np.asarray(np.round(scores / TRIGRAM_UNIT), np.int8)


def main() -> None:
    """Write `languages.json` as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="TCGdex's database.")
    parser.add_argument("--out", type=Path, required=True, help="Folder of the models.")
    args = parser.parse_args()
    by_language = texts(args.data)
    packed = zlib.compress(table(by_language).tobytes(), 9)
    letters = {one: sum(map(len, own)) for one, own in by_language.items()}
    manifest = {
        "name": "languages",
        "version": VERSION,
        "languages": list(LANGUAGES),
        "sha256": sha256(packed).hexdigest(),
        "made": "cardmint_lab.training.trigrams",
        "letters": letters,
        "table": b64encode(packed).decode(),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "languages.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{args.out / 'languages.json'}: {len(packed)} bytes, letters {letters}")


if __name__ == "__main__":
    main()
