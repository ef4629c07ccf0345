"""What is kept of a set when a later reading of it lacks something.

Cards may be recorded against a printing, so one that was known once stays, and so do its names.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from cardmint_contracts.cards import CardId, Language
from cardmint_contracts.catalogue import CatalogueSet, Names, Printing


class MergedSet(Struct, frozen=True):
    """A later reading of a set with what was known before.

    `kept` are the printings that it lacks, `languages` those in which it lacks names.
    """

    of_set: CatalogueSet
    kept: tuple[CardId, ...] = ()
    languages: frozenset[Language] = frozenset()


def with_known(
    later: CatalogueSet, names: Mapping[str, str], printings: Iterable[Printing]
) -> MergedSet:
    """Return a later reading of a set, with the set's names and printings that were known before.

    Facts are the later ones. A printing that has another identifier now, but the same of its
    source, is not kept beside itself.
    """
    now = {printing.id: printing for printing in later.printings}
    sources = {one for printing in later.printings for one in _source_ids(printing)}
    kept, languages = list[Printing](), names.keys() - later.names.keys()
    for known in printings:
        same = now.get(known.id)
        if same is not None:
            now[known.id] = _with_names(same, known)
            languages |= known.names.keys() - same.names.keys()
        elif sources.isdisjoint(_source_ids(known)):
            kept.append(known)
    return MergedSet(
        replace(later, names=_joined(later.names, names), printings=(*now.values(), *kept)),
        tuple(printing.id for printing in kept),
        frozenset(languages),
    )


def _source_ids(printing: Printing) -> list[tuple[str, str]]:
    given = (("tcgdex", printing.ids.tcgdex), ("pokemon-tcg", printing.ids.pokemon_tcg))
    return [one for one in given if one[1]]


def _with_names(later: Printing, known: Printing) -> Printing:
    return replace(
        later,
        names=_joined(later.names, known.names),
        attacks=_by_place(later.attacks, known.attacks),
        abilities=_by_place(later.abilities, known.abilities),
    )


def _by_place(later: tuple[Names, ...], known: tuple[Names, ...]) -> tuple[Names, ...]:
    """Return the names of attacks or abilities; of another number of them the later ones alone."""
    if len(later) != len(known):
        return later
    return tuple(map(_joined, later, known))


def _joined(later: Names, known: Mapping[str, str]) -> Names:
    return {**later, **{one: name for one, name in known.items() if one not in later}}
