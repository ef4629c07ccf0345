"""A catalogue's folder, as `cardmint-edge catalogue fetch` writes it."""

from pathlib import Path

from cardmint_cloud.errors import ParkItem, StopService
from cardmint_contracts.catalogue import (
    INDEX_FILE,
    CatalogueIndex,
    CatalogueSet,
    SetEntry,
    decode_index,
    decode_set,
)
from cardmint_contracts.errors import ContractError


def read_index(folder: Path) -> CatalogueIndex:
    """Return a folder's index.

    Raises:
        StopService: the folder has none that can be read.
    """
    path = folder / INDEX_FILE
    try:
        return decode_index(path.read_bytes())
    except OSError as error:
        raise StopService(
            f"{path}: {error.strerror}: name a folder that `cardmint-edge catalogue fetch` wrote"
        ) from None
    except ContractError as error:
        raise StopService(
            f"{path}: not a catalogue's index ({error}): fetch the catalogue again"
        ) from None


def read_set(folder: Path, entry: SetEntry) -> CatalogueSet:
    """Return a set of a folder.

    Raises:
        ParkItem: its file is missing, or not the one of the index.
    """
    path = folder / entry.file
    try:
        return decode_set(path.read_bytes(), entry)
    except OSError as error:
        raise ParkItem(f"{path}: set skipped, {error.strerror}") from None
    except ContractError as error:
        raise ParkItem(f"{path}: set skipped, {error}: fetch the catalogue again") from None
