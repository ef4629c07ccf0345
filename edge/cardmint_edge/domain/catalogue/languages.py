"""A set with its names in some languages only."""

from collections.abc import Collection

import msgspec

from cardmint_contracts.catalogue import CatalogueSet, Names


def only_in(of_set: CatalogueSet, languages: Collection[str]) -> CatalogueSet:
    """Return a set with the printings that have a name in these languages, and those names.

    The set's own name is in another language where it has none in these.
    """

    def chosen(names: Names) -> Names:
        return {one: name for one, name in names.items() if one in languages}

    return msgspec.structs.replace(
        of_set,
        names=chosen(of_set.names) or dict(list(of_set.names.items())[:1]),
        codes={one: code for one, code in of_set.codes.items() if one in languages},
        printings=tuple(
            msgspec.structs.replace(
                printing,
                names=names,
                attacks=tuple(found for one in printing.attacks if (found := chosen(one))),
                abilities=tuple(found for one in printing.abilities if (found := chosen(one))),
            )
            for printing in of_set.printings
            if (names := chosen(printing.names))
        ),
    )
