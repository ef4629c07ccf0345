"""Files of samples: written whole or not at all, and drawn from at random."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def save(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write arrays of one length."""
    draft = path.with_suffix(".part.npz")
    np.savez(draft, **arrays)  # type: ignore[arg-type]
    draft.replace(path)


def load(paths: list[Path], keys: tuple[str, ...]) -> list[NDArray[np.uint8]]:
    """Read files and put their arrays end to end, key by key."""
    held = [np.load(path) for path in paths]
    return [np.concatenate([one[key] for one in held]) for key in keys]


def some(folder: Path, kind: str, count: int, rng: np.random.Generator) -> list[Path]:
    """Choose `count` files `<kind>-<number>.npz` at random, each at most once."""
    files = sorted(folder.glob(f"{kind}-*[0-9].npz"))
    return [files[int(number)] for number in rng.permutation(len(files))[:count]]
