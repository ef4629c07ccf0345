"""What is printed on every card of the catalogue, as the reader would say it, and which cards a reading may mean."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cardmint_edge.domain.lexicon import number_forms, plain

LONGEST = 13
"""No number's form has more letters."""

_TOKEN = re.compile(r"[A-Z]{0,5}[0-9]{1,3}[a-z]?/[A-Z]{0,4}[0-9]{1,3}|[A-Z]{1,6}[0-9]{1,3}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Print:
    """What a printing's facts say is on the card."""

    card_id: str
    name: str
    number: str
    total: int | None
    promo: bool


class Strings:
    """The catalogue's names and numbers, ready to be scored."""

    def __init__(self, prints: Iterable[Print]) -> None:
        self._forms: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, str] = {}
        self._cards: dict[str, list[str]] = {}
        self._named: dict[str, list[str]] = {}
        for known in prints:
            forms = number_forms(known.number, known.total, promo=known.promo)
            self._forms[known.card_id] = forms
            self._names[known.card_id] = plain(known.name)
            self._named.setdefault(plain(known.name), []).append(known.card_id)
            for form in forms:
                if len(form) <= LONGEST and ("/" in form or form[0].isalpha()):
                    self._cards.setdefault(form, []).append(known.card_id)
        self._by_length: dict[int, list[str]] = {}
        for name in sorted(set(self._names.values())):
            self._by_length.setdefault(len(name), []).append(name)
        self._known = list(self._cards)
        self._table = np.zeros((len(self._known), LONGEST), dtype=np.uint8)
        for row, form in enumerate(self._known):
            self._table[row, : len(form)] = np.frombuffer(form.encode("ascii"), dtype=np.uint8)

    def forms(self, card_id: str) -> tuple[str, ...]:
        """Return how a printing's number may stand on it; none for one that the catalogue does not have."""
        return self._forms.get(card_id, ())

    def name(self, card_id: str) -> str:
        """Return a printing's name in the reader's letters."""
        return self._names.get(card_id, "")

    def named(self, name: str) -> list[str]:
        """Return the printings of this name."""
        return self._named.get(name, [])

    def other_names(self, name: str, limit: int = 60) -> list[str]:
        """Return other names of the catalogue that are as long as this one, spread over the alphabet."""
        same = [other for other in self._by_length.get(len(name), []) if other != name]
        return same[:: max(1, len(same) // limit)]

    def cards(self, form: str) -> list[str]:
        """Return the printings that carry a number in this form."""
        return self._cards.get(form, [])

    def near(self, said: str) -> list[str]:
        """Return the known forms that differ in at most one letter from something that was read."""
        found: dict[str, None] = {}
        if not self._known:
            return []
        for token in _tokens(said):
            padded = np.zeros(LONGEST, dtype=np.uint8)
            padded[: len(token)] = np.frombuffer(token.encode("ascii"), dtype=np.uint8)
            apart = (self._table != padded).sum(axis=1)
            found.update(dict.fromkeys(self._known[row] for row in np.flatnonzero(apart <= 1)))
        return list(found)


def _tokens(said: str) -> Iterator[str]:
    """Return what looks like a number, also without letters before it: a framed letter often stands there."""
    for token in _TOKEN.findall(said):
        letters = len(token) - len(token.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        for start in range(letters + 1):
            if len(token) - start <= LONGEST:
                yield token[start:]
