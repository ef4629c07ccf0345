"""What the print says: which of several printings a card is, and which card it is when no picture is known."""

from dataclasses import dataclass

import numpy as np

from cardmint_contracts.cards import Card
from cardmint_edge.domain.decide import Numbers
from cardmint_edge.domain.read import Letters, Written, read_numbers, with_names
from cardmint_edge.domain.recognition import Corners, Frame
from cardmint_edge.domain.rectify import sides
from cardmint_edge.domain.strings import Strings

WORTH_A_NAME = -6.0
"""Numbers read less well than this (log) are not worth looking for a name to them."""

CLEAR = -1.0
"""Number and name read better than this need not be looked for in another place."""

LEAST_TALL = 420
"""On a card less high than this many pixels the digits are less than 7 high, and are not read."""

RIVALLED = 3
"""To so many of the likeliest numbers those one letter away are added."""

MOST_NAMED = 80
"""How many cards' names are compared with what was read, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """How well a printing's number and name explain what was read (logs, about 0 at best).

    `lead` is how much better the name does than the best of other names of its length: of a blur any name is a fair
    reading, and then none leads.
    """

    card_id: str
    number: float
    name: float
    lead: float

    @property
    def total(self) -> float:
        """Both together."""
        return self.number + self.name


class PrintReader:
    """Reads the print of one card at a time. `letters` reads a strip, `strings` knows the catalogue."""

    def __init__(self, letters: Letters, strings: Strings) -> None:
        self._letters = letters
        self._strings = strings

    def search(self, levels: list[Frame], places: list[Corners]) -> tuple[list[Fit], Corners | None]:
        """Look for print wherever a card may lie; return what fits best, likeliest first, and where it was read."""
        best: list[Fit] = []
        where: Corners | None = None
        for corners in places:
            found = self.find(read_numbers(levels, corners, self._letters), levels, corners)
            if found and (not best or found[0].total > best[0].total):
                best, where = found, corners
                if found[0].number > CLEAR and found[0].name > CLEAR and found[0].lead > 0:
                    break
        return best, where

    def numbers(self, levels: list[Frame], corners: Corners, cards: list[Card]) -> Numbers | None:
        """Read the number of a card that is one of `cards`; None when it is too small to be read."""
        if sides(corners)[1] < LEAST_TALL:
            return None
        written = read_numbers(levels, corners, self._letters)
        own = [(card.id, form) for card in cards for form in self._strings.forms(card.id)]
        forms = {form for _, form in own}
        alike = [near for form in forms for near in self._strings.near(form)]
        others = [form for form in dict.fromkeys([*self._near(written), *alike]) if form not in forms]
        if not own:
            return None
        both = written.number([*(form for _, form in own), *others])
        scores, others_scores = both[:, : len(own)], both[:, len(own) :]
        best = {card.id: -np.inf for card in cards}
        for (card_id, _), score in zip(own, scores.max(axis=0).tolist(), strict=True):
            best[card_id] = max(best[card_id], score)
        # A strip that cuts the number's first digit off shows another number: what counts is where it reads best.
        clearest = int(scores.max(axis=1).argmax())
        return Numbers(
            own=best,
            beside=float(others_scores[clearest].max(initial=-np.inf)),
            other=float(others_scores.max(initial=-np.inf)),
        )

    def find(self, written: Written, levels: list[Frame], corners: Corners) -> list[Fit]:
        """Return the catalogue's cards whose number was read well, likeliest first by number and name."""
        near = self._near(written)
        scores = self._number_scores(written, near)
        numbers: dict[str, float] = {}
        for form in sorted(near, key=lambda form: -scores[form]):
            if scores[form] < WORTH_A_NAME:
                break
            for card_id in self._strings.cards(form):
                numbers.setdefault(card_id, scores[form])
        chosen = list(numbers)[:MOST_NAMED]
        if not chosen:
            return []
        named = with_names(written, levels, corners, self._letters)
        names = sorted({self._strings.name(card_id) for card_id in chosen})
        fits = dict(zip(names, named.name(names).max(axis=0).tolist(), strict=True))
        likeliest = max(chosen, key=lambda card_id: numbers[card_id] + fits[self._strings.name(card_id)])
        rivals = named.name(self._strings.other_names(self._strings.name(likeliest)))
        other = float(rivals.max()) if rivals.size else -np.inf
        # Every printing of that name is a rival, also those whose numbers are not near to what was read.
        same = [card_id for card_id in self._strings.named(self._strings.name(likeliest)) if card_id not in chosen]
        forms = {form: card_id for card_id in same for form in self._strings.forms(card_id)}
        for form, score in self._number_scores(written, list(forms)).items():
            numbers[forms[form]] = max(score, numbers.get(forms[form], -np.inf))
        found = [
            Fit(card_id=card_id, number=numbers[card_id], name=fits[name], lead=fits[name] - other)
            for card_id in [*chosen, *(card_id for card_id in same if card_id in numbers)]
            for name in [self._strings.name(card_id)]
        ]
        return sorted(found, key=lambda fit: -fit.total)

    def _number_scores(self, written: Written, forms: list[str]) -> dict[str, float]:
        if not forms:
            return {}
        return dict(zip(forms, written.number(forms).max(axis=0).tolist(), strict=True))

    def _near(self, written: Written) -> list[str]:
        """Return the forms near to what was read, and those near to the likeliest of them: its rivals."""
        near = dict.fromkeys(form for said in written.said() for form in self._strings.near(said))
        scores = self._number_scores(written, list(near))
        for form in sorted(near, key=lambda form: -scores[form])[:RIVALLED]:
            near.update(dict.fromkeys(self._strings.near(form)))
        return list(near)
