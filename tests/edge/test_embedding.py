"""The embedding: near for one card in any light, kept by a pack, and of use where hashes fail."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from structlog.testing import capture_logs

from cardmint_edge import catalogue
from cardmint_edge.adapters.decode import read_image
from cardmint_edge.adapters.models import FOLDER, ModelUnusable, PictureEmbedder
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.catalogue import build
from cardmint_edge.domain.config import QualityConfig
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.embedding import (
    SIZE,
    back_likeness,
    normalised,
    quantised,
    similarities,
)
from cardmint_edge.errors import Stop
from cardmint_edge.recogniser import Recognisers, recogniser_of
from cardmint_lab.recognition.backs import (
    EmbeddedPhoto,
    embed_photos,
    mean_back,
    measure_backs,
    write_back,
)
from cardmint_lab.recognition.evaluate import read_index
from cardmint_lab.recognition.samples import ReducedGallery
from cardmint_lab.scenes import PRESETS, render


@given(st.integers(0, 2**32 - 1), st.floats(0.6, 1.4), st.floats(-20, 20))
def test_light_and_tint_change_next_to_nothing(seed: int, gain: float, more: float) -> None:
    picture = np.random.default_rng(seed).integers(70, 150, (134, 96, 3)).astype(np.uint8)
    other = (picture * np.float32(gain) + np.float32(more)).clip(0, 255).round().astype(np.uint8)
    assert np.abs(normalised(picture) - normalised(other)).mean() < 0.25


@given(st.integers(0, 2**32 - 1))
def test_a_byte_a_number_is_enough(seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((2, SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (
        abs(
            float(similarities(vectors[0], quantised(vectors[1])[None])[0])
            - float(vectors[0] @ vectors[1])
        )
        < 0.02
    )


def test_a_pack_keeps_a_vector_of_each_picture(pack: Pack) -> None:
    embedder = PictureEmbedder()
    assert pack.vectors.shape == (len(pack.hashes), SIZE)
    assert pack.embedded_by == embedder.version
    for row in (0, 17):
        alike = similarities(embedder(normalised(pack.reference(row).thumb)), pack.vectors)
        assert int(alike.argmax()) == row


class Spoiled(ReducedGallery):
    """A gallery whose hashes are noise, as glare makes them."""

    def __init__(self, pack: Pack) -> None:
        super().__init__(pack, set())
        noise = np.random.default_rng(1).integers(0, 2**63, self.hashes.shape, dtype=np.uint64)
        self.hashes = noise


def rendered(fictional: Path, card_id: str, seed: int) -> Frame:
    scan = read_image(fictional / "images" / f"{card_id}.jpg")
    return render(scan, PRESETS["copy_stand"], np.random.default_rng(seed)).frame


def models(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        shutil.copy(FOLDER / f"{name}.json", folder)
        shutil.copy(FOLDER / f"{name}.tflite", folder)
    return folder


def test_a_picture_that_hashes_miss_is_found(pack: Pack, fictional: Path, tmp_path: Path) -> None:
    wanted = [pack.printing(row) for row in range(0, len(pack.hashes), 16)]
    right = {}
    for name, used in (("hashes", ("corners",)), ("helped", ("corners", "embedding"))):
        recogniser = Recognisers(pack, models(tmp_path / name, *used)).over(Spoiled(pack))
        right[name] = 0
        for seed, card in enumerate(wanted):
            seen = recogniser.recognise(rendered(fictional, card.id, seed))
            twins = pack.twins(pack.row(card.id) or 0)
            right[name] += bool(seen.candidates) and seen.candidates[0].card in (card, *twins)
    assert right["helped"] >= 0.8 * len(wanted)
    assert right["hashes"] <= 0.3 * len(wanted)


def without_vectors(fictional: Path, path: Path, *, version: str) -> Pack:
    shutil.copy(fictional / "pack.sqlite", path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'embedding'", (version,))
    return Pack(path)


@pytest.mark.parametrize(
    ("version", "why"), [("", "built without"), ("1 0123456789ab", "another model")]
)
def test_a_pack_of_another_embedding_is_used_without_it(
    fictional: Path, tmp_path: Path, version: str, why: str
) -> None:
    with (
        closing(without_vectors(fictional, tmp_path / "old.sqlite", version=version)) as pack,
        capture_logs() as logs,
    ):
        seen = recogniser_of(pack).recognise(rendered(fictional, "emb-1", 1))
    assert seen.method == "corners-reader"
    assert seen.candidates[0].card.id == "emb-1"
    assert [why in str(line["reason"]) for line in logs] == [True]


def test_a_pack_with_fewer_vectors_than_pictures_is_damaged(
    fictional: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.sqlite"
    shutil.copy(fictional / "pack.sqlite", path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE looks SET vector = x'' WHERE card_id = 'emb-1'")
    with pytest.raises(Stop, match="111 of 112 pictures have a vector: build it again"):
        Pack(path)


def test_a_pack_is_built_without_the_model_too(
    fictional: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, said = tmp_path / "images", list[str]()
    images.mkdir()
    shutil.copy(fictional / "images" / "emb-1.jpg", images)
    monkeypatch.setattr(catalogue, "PictureEmbedder", lambda: PictureEmbedder(tmp_path))
    built = build(fictional / "cards", images, tmp_path / "bare.sqlite", said.append)
    assert built.images == 1
    assert said[0].startswith("the pack has no vectors: ")
    with closing(Pack(tmp_path / "bare.sqlite")) as pack:
        assert (len(pack.vectors), pack.embedded_by) == (0, "")


def test_a_model_of_other_vectors_is_not_used(tmp_path: Path) -> None:
    folder = models(tmp_path / "models", "embedding", "corners")
    manifest = json.loads((folder / "embedding.json").read_bytes())
    of_corners = json.loads((folder / "corners.json").read_bytes())
    (folder / "embedding.json").write_text(json.dumps(manifest | {key: of_corners[key] for key in
        ("file", "sha256", "input", "output")}))  # fmt: skip
    with pytest.raises(ModelUnusable, match="vectors are not of"):
        PictureEmbedder(folder)


def test_a_back_is_what_is_like_photographed_backs_either_way_up() -> None:
    card = np.random.default_rng(3).integers(0, 255, (134, 96, 3), dtype=np.uint8)
    embedder = PictureEmbedder()
    back = quantised(embedder(normalised(card)))
    likeness = back_likeness(embedder, back)
    assert likeness(card) > 0.99
    assert likeness(np.ascontiguousarray(card[::-1, ::-1])) > 0.99
    assert embedder.card_back is not None
    assert back_likeness(embedder, embedder.card_back)(card) < QualityConfig().back_alike


def test_backs_are_told_from_other_cards_by_their_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    centre = np.eye(SIZE, dtype=np.float32)[0]

    def photo(kind: str, vectors: list[NDArray[np.float32]]) -> EmbeddedPhoto:
        return EmbeddedPhoto(
            kind=kind, name=kind, vectors=np.array(vectors, np.float32).reshape(-1, SIZE)
        )

    near = [centre + rng.normal(0, 0.05, SIZE).astype(np.float32) for _ in range(6)]
    backs = [photo("card_back", [one / np.linalg.norm(one)] * 2) for one in near]
    others = [photo("single", [np.eye(SIZE, dtype=np.float32)[5]]), photo("single", [])]
    assert measure_backs([*backs, *others]) == {"card_back": (6, 6), "single": (0, 2)}
    folder = models(tmp_path / "models", "embedding")
    write_back(mean_back(backs), folder)
    written = PictureEmbedder(folder).card_back
    assert written is not None
    assert written[0] > 100


@pytest.mark.data
def test_photographed_backs_are_backs_and_no_front_is(real_data: Path) -> None:
    photos = [
        photo
        for photo in read_index(real_data / "photos")
        if photo.kind in {"card_back", "single", "mtg"}
    ]
    found = measure_backs(embed_photos(photos))
    assert found.pop("card_back")[0] >= 12
    assert {taken for taken, _ in found.values()} == {0}
