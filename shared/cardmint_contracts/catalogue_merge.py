"""What is kept of a set when a later reading of it lacks something.

Cards may be recorded against a printing, so one that was known once stays, and so do its names.
"""

from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from cardmint_contracts.cards import CardId, Language
from cardmint_contracts.catalogue import CatalogueSet, Names, Printing, SourceIds

_SET_FACTS = ("code", "official", "released", "series")
_PRINTING_FACTS = (
    *("category", "health", "artist", "rarity", "regulation_mark"),
    *("copyright_year", "variants", "image"),
)

T = TypeVar("T", bound=Struct)


class MergedSet(Struct, frozen=True):
    """A later reading of a set with what was known before.

    `kept` are the printings that it lacks, `languages` those in which it lacks names.
    """

    of_set: CatalogueSet
    kept: tuple[CardId, ...] = ()
    languages: frozenset[Language] = frozenset()


def with_known(later: CatalogueSet, known: CatalogueSet) -> MergedSet:
    """Return a later reading of a set, with what only an earlier one knew.

    Facts are the later ones; one that is empty there, such as no known variants, stays as it was.
    A printing that has another identifier now, but the same of its source, is not kept beside
    itself.
    """
    now = {printing.id: printing for printing in later.printings}
    sources = {one for printing in later.printings for one in _source_ids(printing)}
    kept, languages = list[Printing](), known.names.keys() - later.names.keys()
    for before in known.printings:
        same = now.get(before.id)
        if same is not None:
            now[before.id] = _merged(same, before)
            languages |= before.names.keys() - same.names.keys()
        elif sources.isdisjoint(_source_ids(before)):
            kept.append(before)
    merged = replace(
        _filled(later, known, _SET_FACTS),
        names=_joined(later.names, known.names),
        codes=_joined(later.codes, known.codes),
        ids=_filled(later.ids, known.ids, SourceIds.__struct_fields__),
        printings=(*now.values(), *kept),
    )
    return MergedSet(merged, tuple(printing.id for printing in kept), frozenset(languages))


def _source_ids(printing: Printing) -> list[tuple[str, str]]:
    given = (("tcgdex", printing.ids.tcgdex), ("pokemon-tcg", printing.ids.pokemon_tcg))
    return [one for one in given if one[1]]


def _merged(later: Printing, known: Printing) -> Printing:
    return replace(
        _filled(later, known, _PRINTING_FACTS),
        names=_joined(later.names, known.names),
        attacks=_by_place(later.attacks, known.attacks),
        abilities=_by_place(later.abilities, known.abilities),
        ids=_filled(later.ids, known.ids, SourceIds.__struct_fields__),
    )


def _filled(later: T, known: T, facts: tuple[str, ...]) -> T:
    """Return a struct with the facts of an earlier one where it has none."""
    lacks = {fact: getattr(known, fact) for fact in facts if not getattr(later, fact)}
    return replace(later, **lacks)


def _by_place(later: tuple[Names, ...], known: tuple[Names, ...]) -> tuple[Names, ...]:
    """Return the names of attacks or abilities; of another number of them the later ones alone."""
    if not later:
        return known
    if len(later) != len(known):
        return later
    return tuple(map(_joined, later, known))


def _joined(later: Names, known: Names) -> Names:
    return {**later, **{one: name for one, name in known.items() if one not in later}}
