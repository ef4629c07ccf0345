"""The training scripts, a few steps long, where what they need is installed."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed only where models are trained")

from cardmint_edge.domain.vision import embedding as domain  # noqa: E402 - only where torch is
from cardmint_lab.training import litert  # noqa: E402 - only where torch is
from cardmint_lab.training.corners import scenes  # noqa: E402 - only where torch is
from cardmint_lab.training.corners import train as corners  # noqa: E402
from cardmint_lab.training.corners.network import CornersNetwork  # noqa: E402
from cardmint_lab.training.embedding import train as embedding  # noqa: E402 - only where torch is
from cardmint_lab.training.embedding import views  # noqa: E402 - only where torch is
from cardmint_lab.training.embedding.network import SIZE, EmbeddingNetwork, normalised  # noqa: E402 - only where torch is
from cardmint_lab.training.files import save  # noqa: E402 - only where torch is
from cardmint_lab.training.reader import shards, train  # noqa: E402 - only where torch is
from cardmint_lab.training.reader.lines import LineTexts  # noqa: E402 - only where torch is
from cardmint_lab.training.reader.network import ReaderNetwork  # noqa: E402
from cardmint_lab.training.reader.network import normalised as normalised_lines  # noqa: E402
from cardmint_lab.training.run import Run  # noqa: E402
from cardmint_lab.training.unfold import folded, unfold  # noqa: E402

pytestmark = pytest.mark.training


def test_a_few_steps_are_learned_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    fonts = shards.fonts_for(held_out=False)
    lines = LineTexts(
        names=["Sootpup", "Old Furnace", "Kelp Shepherd"], foreign=["Rußling"], attacks=["Ember"]
    )
    for name, seed in (("drawn-0000", 1), ("drawn-0001", 2), ("held-out", 3)):
        strips, texts = shards.draw_shard(lines, fonts, 96, seed)
        save(tmp_path / f"{name}.npz", strips=strips, texts=texts)
    first = train.train(tmp_path, tmp_path / "run", seconds=600, steps=3, seed=1)
    assert first.lines == 96
    run = Run.start(ReaderNetwork, tmp_path / "run" / "checkpoint.pt")
    train.train(tmp_path, tmp_path / "run", seconds=600, steps=2, seed=1)
    again = Run.start(ReaderNetwork, tmp_path / "run" / "checkpoint.pt")
    assert again.seen > run.seen > 0
    assert again.spent > run.spent


def test_a_run_begins_from_the_model_that_stations_carry(tmp_path: Path) -> None:
    strips = np.random.default_rng(1).integers(0, 256, (64, 32, 256), dtype=np.uint8)
    samples = normalised_lines(torch.from_numpy(strips))
    known = ReaderNetwork().eval()
    model = tmp_path / "known.tflite"
    model.write_bytes(litert.convert(known, samples[:1]))
    network = ReaderNetwork()
    unfold(network, folded(model), samples)
    with torch.no_grad():
        before, after = known(samples), network.eval()(samples)
    assert float((before - after).abs().mean()) < 0.01 * float(before.abs().mean())


def test_the_finder_begins_from_the_model_that_stations_carry(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (16, 192, 256, 3), dtype=np.uint8)
    samples = corners.taken(torch.from_numpy(frames))
    known = CornersNetwork().eval()
    model = tmp_path / "known.tflite"
    model.write_bytes(litert.convert(known, samples[:1]))
    network = CornersNetwork()
    unfold(network, folded(model), samples)
    with torch.no_grad():
        before, after = known(samples), network.eval()(samples)
    assert float((before - after).abs().mean()) < 0.01 * float(before.abs().mean())
    with pytest.raises(ValueError, match="no convolution of"):
        unfold(ReaderNetwork(), folded(model), torch.zeros(1, 1, 32, 256))
    with pytest.raises(ValueError, match="more convolutions than"):
        unfold(torch.nn.Sequential(network.first), folded(model), samples)


def test_a_few_steps_find_cards_better_or_worse_but_go_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    cards = [rng.integers(0, 256, (280, 200, 3), dtype=np.uint8) for _ in range(3)]
    for name, seed in (("scenes-0000", 1), ("held-out", 2)):
        scenes.write(cards, tmp_path / f"{name}.npz", 8, seed)
    score = corners.train(tmp_path, tmp_path / "run", seconds=600, steps=2, seed=1)
    assert score["scenes"] == 8
    run = Run.start(CornersNetwork, tmp_path / "run" / "checkpoint.pt")
    corners.train(tmp_path, tmp_path / "run", seconds=600, steps=1, seed=1)
    assert Run.start(CornersNetwork, tmp_path / "run" / "checkpoint.pt").seen > run.seen > 0


def test_a_few_steps_embed_and_go_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    scans = [rng.integers(0, 256, (336, 240, 3), dtype=np.uint8) for _ in range(4)]
    for name, seed in (("views-0000", 1), ("views-0001", 2), ("held-out", 3)):
        views.write(scans, tmp_path / f"{name}.npz", 8, seed)
    score = embedding.train(tmp_path, tmp_path / "run", seconds=600, steps=2, seed=1)
    assert (score["views"], score["scans"]) == (8, 4)
    run = Run.start(EmbeddingNetwork, tmp_path / "run" / "checkpoint.pt")
    embedding.train(tmp_path, tmp_path / "run", seconds=600, steps=1, seed=1)
    assert Run.start(EmbeddingNetwork, tmp_path / "run" / "checkpoint.pt").seen > run.seen > 0


def test_training_prepares_pictures_as_the_station_does() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (134, 96, 3), dtype=np.uint8)
    learned = normalised(torch.from_numpy(picture)[None])[0].numpy()
    assert np.abs(learned - domain.normalised(picture)).max() < 1e-4
    assert SIZE == domain.SIZE
