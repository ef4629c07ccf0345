"""A small catalogue's folder, as the station's command writes it."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

from cardmint_contracts.cards import Finish
from cardmint_contracts.catalogue import (
    FORMAT,
    INDEX_FILE,
    CatalogueIndex,
    CatalogueSet,
    Printing,
    Region,
    SetEntry,
    SourceIds,
    Variant,
    set_file,
)
from cardmint_contracts.wire import encode
from tests.cloud.kit.cards import NOW

HOLO = (Variant(finish=Finish.HOLO),)
BASE = CatalogueSet(
    id="base1",
    region=Region.INTERNATIONAL,
    names={"en": "Base Set", "fr": "Set de Base"},
    code="BS",
    official=102,
    released="1999-01-09",
    ids=SourceIds(tcgdex="base1", tcgplayer=604),
    printings=(
        Printing(
            id="base1-4",
            number="4",
            names={"en": "Charizard", "fr": "Dracaufeu", "ja": "リザードン"},
            variants=HOLO,
        ),
        Printing(id="base1-44", number="44", names={"en": "Bulbasaur", "fr": "Bulbizarre"}),
    ),
)
NEW = CatalogueSet(
    id="me5",
    region=Region.INTERNATIONAL,
    names={"en": "Pitch Black"},
    code="PBL",
    official=84,
    released="2026-07-17",
    ids=SourceIds(tcgdex="me05", tcgplayer=24688),
    printings=(Printing(id="me5-1", number="1", names={"en": "Wick"}),),
)


def write_catalogue(
    folder: Path,
    *sets: CatalogueSet,
    complete: bool = True,
    made_at: datetime = NOW - timedelta(days=3),
) -> Path:
    """Write a folder, and return it."""
    entries = []
    for one in sets:
        path = folder / set_file(one.region, one.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(one))
        entries.append(
            SetEntry(
                id=one.id,
                region=one.region,
                printings=len(one.printings),
                sha256=hashlib.sha256(encode(one)).hexdigest(),
                released=one.released,
            )
        )
    index = CatalogueIndex(
        format=FORMAT,
        source="test",
        made_at=made_at,
        languages=("en",),
        complete=complete,
        sets=tuple(entries),
    )
    (folder / INDEX_FILE).write_bytes(encode(index))
    return folder
