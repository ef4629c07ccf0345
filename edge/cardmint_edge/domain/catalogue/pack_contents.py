"""What a pack holds, and what another one would lose."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

MAX_LOST = 0.02
"""Share of cards, pictures or names that a new pack may lack: sources correct some each year."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackContents:
    """The printings of a pack, the number of its pictures, and of its names in each language."""

    cards: frozenset[str] = frozenset()
    pictures: int = 0
    names: Mapping[str, int] = field(default_factory=dict)


def losses(before: PackContents, after: PackContents) -> list[str]:
    """Return what a pack has far less of than the one before it, as words; none when nothing."""
    return [
        f"{lost} of {there} {what}"
        for what, lost, there in _compared(before, after)
        if lost > MAX_LOST * there
    ]


def _compared(before: PackContents, after: PackContents) -> Iterator[tuple[str, int, int]]:
    """Yield of each kind how many are missed, and how many there were."""
    yield "cards", len(before.cards - after.cards), len(before.cards)
    yield "pictures", before.pictures - after.pictures, before.pictures
    for language, there in sorted(before.names.items()):
        yield f"names in {language}", there - after.names.get(language, 0), there
