"""The training scripts, a few steps long, where what they need is installed."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is installed only where models are trained")

from training.reader import shards, train  # noqa: E402 - only where torch is

pytestmark = pytest.mark.training


def test_a_few_steps_are_learned_and_a_stopped_run_goes_on(tmp_path: Path) -> None:
    fonts = shards.fonts_for(held_out=False)
    names = ["Sootpup", "Old Furnace", "Kelp Shepherd"]
    for name, seed in (("drawn-0000", 1), ("drawn-0001", 2), ("held-out", 3)):
        shards.save(tmp_path / f"{name}.npz", *shards.draw_shard(names, fonts, 96, seed))
    first = train.train(tmp_path, tmp_path / "run", seconds=600, most_steps=3, seed=1)
    assert first.lines == 96
    run = train.Run.start(tmp_path / "run" / "checkpoint.pt")
    train.train(tmp_path, tmp_path / "run", seconds=600, most_steps=2, seed=1)
    again = train.Run.start(tmp_path / "run" / "checkpoint.pt")
    assert again.seen > run.seen > 0
    assert again.spent > run.spent
