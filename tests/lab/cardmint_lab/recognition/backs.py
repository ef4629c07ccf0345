"""The back of a card as the embedding sees it: the mean vector of photographed backs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.models import FOLDER, CardFinder, PictureEmbedder
from cardmint_edge.domain.config import FinderConfig, QualityConfig
from cardmint_edge.domain.vision.embedding import SCALE, SIZE, Vectors, normalised, quantised
from cardmint_edge.domain.vision.hashing import HASH_SIZE
from cardmint_edge.domain.vision.proposals import card_shaped, propose
from cardmint_edge.domain.vision.view import View
from cardmint_lab.recognition.evaluate import Photo

CARD_BACK = "card_back"


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddedPhoto:
    """The vectors of a photo's outlines, either way up (2 n x SIZE)."""

    kind: str
    name: str
    vectors: NDArray[np.float32]


def embed_photos(photos: Sequence[Photo]) -> list[EmbeddedPhoto]:
    """Embed the three likeliest outlines of each photo."""
    finder, embedder, embedded = CardFinder(), PictureEmbedder(), []
    for photo in photos:
        view = View(read_image(photo.path))
        proposals = propose(view, finder, FinderConfig())
        quads = (proposals.outlines or card_shaped(proposals.quads))[:3]
        cuts = [view.cut(quad.turned(turn), *HASH_SIZE) for quad in quads for turn in (0, 2)]
        vectors = [embedder(normalised(cut)) for cut in cuts]
        found = np.array(vectors, np.float32).reshape(-1, SIZE)
        embedded.append(EmbeddedPhoto(kind=photo.kind, name=photo.path.name, vectors=found))
    return embedded


def mean_back(photos: Sequence[EmbeddedPhoto]) -> Vectors:
    """Return the mean of the likeliest outline of each back, either way up, of norm SCALE."""
    backs = [one.vectors[:2] for one in photos if one.kind == CARD_BACK and len(one.vectors)]
    mean = np.concatenate(backs).mean(axis=0)
    return quantised(np.asarray(mean / np.linalg.norm(mean), np.float32))


def measure_backs(photos: Sequence[EmbeddedPhoto]) -> dict[str, tuple[int, int]]:
    """Return how many of each kind are taken for a back, and of how many; a back without itself."""
    counts: dict[str, tuple[int, int]] = {}
    for photo in photos:
        back = mean_back([one for one in photos if one is not photo])
        alike = float((photo.vectors @ back / SCALE).max(initial=-1.0))
        taken, total = counts.get(photo.kind, (0, 0))
        counts[photo.kind] = (taken + (alike > QualityConfig().back_alike), total + 1)
    return counts


def write_back(back: Vectors, folder: Path = FOLDER) -> None:
    """Write the vector into the manifest of the embedding that made it."""
    path = folder / "embedding.json"
    manifest = msgspec.json.decode(path.read_bytes())
    manifest["card_back"] = back.tolist()
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    path.write_bytes(text + b"\n")
