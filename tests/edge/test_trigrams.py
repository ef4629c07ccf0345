"""The language of running text, by the table of trigrams that stations have."""

import json
import zlib
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.edge.readings import says

from cardmint_edge.adapters.models import FOLDER, LanguageTrigrams, ModelUnusable
from cardmint_edge.domain.reading.lexicon import plain
from cardmint_edge.domain.reading.trigrams import (
    LANGUAGES,
    LETTERS,
    TRIGRAMS,
    TrigramTable,
    trigrams_of,
    trigrams_read,
)
from cardmint_lab.training.trigrams import main, table, texts

RULES = {
    "en": "Flip a coin. If tails, this attack does nothing.",
    "fr": "Lancez une pièce. Si c'est pile, cette attaque est sans effet.",
    "de": "Wirf 1 Münze. Bei Zahl hat diese Attacke keine Auswirkungen.",
    "it": "Lancia una moneta. Se esce croce, questo attacco non ha effetto.",
    "es": "Lanza 1 moneda. Si sale cruz, este ataque no hace nada.",
    "pt": "Jogue uma moeda. Se sair coroa, este ataque não fará nada.",
}


@pytest.fixture(scope="module")
def trigrams() -> LanguageTrigrams:
    return LanguageTrigrams()


@pytest.mark.parametrize("language", LANGUAGES)
def test_rules_tell_their_language(trigrams: LanguageTrigrams, language: str) -> None:
    read = trigrams_read(says(plain(RULES[language]), steps=160), 0.5)
    scores = trigrams.language_scores(read, {})
    assert set(scores) == set(LANGUAGES)
    assert scores.pop(language) == 0
    assert max(scores.values()) < -4
    assert read == frozenset(trigrams_of(plain(RULES[language])).tolist())


def test_nothing_read_says_nothing(trigrams: LanguageTrigrams) -> None:
    assert trigrams.language_scores(frozenset(), {}) == dict.fromkeys(LANGUAGES, 0.0)
    assert trigrams_read(says(""), 0.5) == frozenset()
    assert trigrams_read(says("ab"), 0.5) == frozenset()


def test_letters_in_doubt_are_left_out_and_signs_are_spaces() -> None:
    def number(text: str) -> int:
        first, second, third = (0 if one == " " else ord(one) - 96 for one in text)
        return (first * LETTERS + second) * LETTERS + third

    whole = says("Tail 30 x-ray")
    assert trigrams_read(whole, 0.5) == {
        number(one) for one in ("tai", "ail", "il ", "l x", "x r", " ra", "ray")
    }
    assert trigrams_read(whole, 0.98) == frozenset()
    doubted = says("Tailor")
    doubted[4] = 0.01  # the "i", between blanks
    doubted[4, doubted[0].argmax()] = 0.4
    assert trigrams_read(doubted, 0.5) == {number("lor")}


def test_the_card_s_own_names_speak_for_their_language() -> None:
    scores = np.zeros((len(LANGUAGES), TRIGRAMS), np.float32)
    read = frozenset(trigrams_of("Quiet Echo").tolist())
    scores[LANGUAGES.index("fr"), [*read]] = 1.0
    found = TrigramTable(scores)
    assert found.language_scores(read, {})["fr"] == 0 > found.language_scores(read, {})["en"]
    assert found.language_scores(read, {"en": read})["en"] == 0
    few = frozenset([*read][:2])
    assert 0 > found.language_scores(few, {})["en"] > found.language_scores(read, {})["en"] / 4


def database(folder: Path) -> Path:
    cards = [
        {"attacks": [{"name": {}, "effect": RULES, "damage": 10}, {"name": {"en": "Fire"}}]},
        {"effect": "in no language", "abilities": [{"name": RULES, "effect": None}]},
    ]
    file = folder / "cards" / "international" / "a.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(cards))
    return folder


def test_a_table_is_counted_from_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = database(tmp_path / "tcgdex")
    known = texts(folder)
    assert known["en"] == ["Fire", plain(RULES["en"])]
    assert table(known).shape == (len(LANGUAGES), TRIGRAMS)
    monkeypatch.setattr("sys.argv", ["trigrams", "--data", str(folder), "--out", str(tmp_path)])
    main()
    assert "languages.json" in capsys.readouterr().out
    made = LanguageTrigrams(tmp_path)
    for language in LANGUAGES:
        read = frozenset(trigrams_of(plain(RULES[language])).tolist())
        assert made.language_scores(read, {})[language] == 0
    with pytest.raises(SystemExit, match="no texts of cards"):
        texts(tmp_path / "empty")


def changed(**fields: object) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda manifest: {**manifest, **fields}


def packed(size: int) -> dict[str, str]:
    content = zlib.compress(bytes(size))
    return {"table": b64encode(content).decode(), "sha256": sha256(content).hexdigest()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(table="no base64!"), "no table of trigrams"),
        (changed(table=b64encode(b"not compressed").decode()), "no table of trigrams"),
        (changed(version=0), "no table of trigrams"),
        (changed(sha256="0" * 64), "its checksum is not"),
        (changed(languages=["en", "fr"]), "not of this program's languages"),
        (changed(**packed(100)), "not of this program's languages"),
        (changed(**packed(50_000_000)), "not of this program's languages"),
    ],
    ids=["base64", "zlib", "version", "checksum", "languages", "short", "long"],
)
def test_a_damaged_table_is_not_used(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    manifest = json.loads((FOLDER / "languages.json").read_text())
    (tmp_path / "languages.json").write_text(json.dumps(change(manifest)))
    with pytest.raises(ModelUnusable, match=message):
        LanguageTrigrams(tmp_path)


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="the model is missing"):
        LanguageTrigrams(tmp_path)
