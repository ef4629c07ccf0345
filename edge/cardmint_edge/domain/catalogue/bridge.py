"""How the catalogue's identifiers agree with those of pokemon-tcg-data."""

from collections.abc import Iterable
from dataclasses import dataclass

from cardmint_contracts.catalogue import ENGLISH, CatalogueSet, Printing, Region


@dataclass(frozen=True, kw_only=True, slots=True)
class BridgeReport:
    """The international printings that both sources have, and the rest.

    A printing is bridged when its identifier is one of pokemon-tcg-data's and the names agree.
    `other_name` has both names of those that share only the identifier, `missing_here` the cards of
    pokemon-tcg-data without a printing, `missing_there` the printings of sets that both have which
    pokemon-tcg-data lacks, and `sets_missing_there` the sets that it lacks.
    """

    bridged: int
    other_name: tuple[tuple[str, str, str], ...]
    missing_here: tuple[Printing, ...]
    missing_there: tuple[Printing, ...]
    sets_missing_there: tuple[CatalogueSet, ...]

    @property
    def share(self) -> float:
        """The bridged share of the cards of pokemon-tcg-data, 0 to 1."""
        cards = self.bridged + len(self.other_name) + len(self.missing_here)
        return self.bridged / cards if cards else 0.0


def compare(ours: Iterable[CatalogueSet], theirs: Iterable[CatalogueSet]) -> BridgeReport:
    """Compare a catalogue with pokemon-tcg-data's."""
    sets = [one for one in ours if one.region is Region.INTERNATIONAL]
    printings = {printing.id: printing for one in sets for printing in one.printings}
    known = {printing.id: printing for one in theirs for printing in one.printings}
    common = {card_id: card for card_id, card in known.items() if card_id in printings}
    other_name = tuple(
        (card_id, printings[card_id].names.get(ENGLISH, ""), card.names.get(ENGLISH, ""))
        for card_id, card in common.items()
        if not _same_name(printings[card_id], card)
    )
    partly = [one for one in sets if any(card.id in known for card in one.printings)]
    return BridgeReport(
        bridged=len(common) - len(other_name),
        other_name=other_name,
        missing_here=tuple(card for card_id, card in known.items() if card_id not in printings),
        missing_there=tuple(
            card for one in partly for card in one.printings if card.id not in known
        ),
        sets_missing_there=tuple(one for one in sets if one not in partly),
    )


def _same_name(one: Printing, other: Printing) -> bool:
    """Whether the shorter English name begins, or ends, the longer one.

    The sources differ in what they add: `(Ghetsis)`, `Basic`, a star.
    """
    first, second = sorted((_letters(one), _letters(other)), key=len)
    return bool(first) and (second.startswith(first) or second.endswith(first))


def _letters(printing: Printing) -> str:
    name = printing.names.get(ENGLISH, "").casefold().replace("★", "star").replace("☆", "star")
    return "".join(letter for letter in name if letter.isalnum())
