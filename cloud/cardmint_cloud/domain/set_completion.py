"""How complete a set is: how many of its printings are held, of the official count and of all."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NUMBER = re.compile(r"0*(\d+)[a-z]?\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class SetCompletion:
    """Printings held and in all; the same of those within the official count."""

    held: int
    printings: int
    official_held: int
    official: int

    @property
    def share(self) -> float:
        """The share of all printings that is held, from 0 to 1."""
        return self.held / self.printings if self.printings else 0.0

    @property
    def missing(self) -> int:
        """How many printings are not held."""
        return self.printings - self.held


def completion(printings: Iterable[tuple[str, int]], official: int) -> SetCompletion:
    """Return the completion of a set by the number of each printing and how many of it are held.

    A printing is within the `official` count when its number is a plain one up to it: those above,
    and those of sub-sets such as TG12, are secret or special.
    """
    held = every = official_held = officials = 0
    for number, count in printings:
        found = _NUMBER.match(number)
        within = found is not None and int(found[1]) <= official
        every += 1
        held += count > 0
        officials += within
        official_held += within and count > 0
    return SetCompletion(
        held=held, printings=every, official_held=official_held, official=officials
    )
