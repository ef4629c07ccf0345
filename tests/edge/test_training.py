"""The training scripts, a few steps long, where what they need is installed."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is installed only where models are trained")

from training.files import save  # noqa: E402 - only where torch is
from training.reader import shards, train  # noqa: E402
from training.reader.network import ReaderNetwork  # noqa: E402
from training.run import Run  # noqa: E402

pytestmark = pytest.mark.training


def test_a_few_steps_are_learned_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    fonts = shards.fonts_for(held_out=False)
    names = ["Sootpup", "Old Furnace", "Kelp Shepherd"]
    for name, seed in (("drawn-0000", 1), ("drawn-0001", 2), ("held-out", 3)):
        strips, texts = shards.draw_shard(names, fonts, 96, seed)
        save(tmp_path / f"{name}.npz", strips=strips, texts=texts)
    first = train.train(tmp_path, tmp_path / "run", seconds=600, steps=3, seed=1)
    assert first.lines == 96
    run = Run.start(ReaderNetwork, tmp_path / "run" / "checkpoint.pt")
    train.train(tmp_path, tmp_path / "run", seconds=600, steps=2, seed=1)
    again = Run.start(ReaderNetwork, tmp_path / "run" / "checkpoint.pt")
    assert again.seen > run.seen > 0
    assert again.spent > run.spent
