"""What `cardmint-lab recognition speed` prints."""

from pathlib import Path

from click.testing import CliRunner

from cardmint_lab.cli import cli


def test_each_preset_is_timed_with_the_picture_known_and_unknown(fictional: Path) -> None:
    given = ["recognition", "speed", "--pack", str(fictional / "pack.sqlite")]
    given += ["--images", str(fictional / "images"), "--count", "1"]
    done = CliRunner().invoke(cli, given, catch_exceptions=False)
    assert done.exit_code == 0
    head, *rows = done.output.splitlines()
    assert head.split() == ["picture", "photos", "n", "p50", "p95", "exact", "accepted", "wrong"]
    for row, picture in zip(rows, ("known", "known", "unknown", "unknown"), strict=True):
        name, _, n, p50, p95, exact, accepted, wrong, *steps = row.split()
        assert (name, n, wrong) == (picture, "1", "0")
        assert 0 < float(p50) <= float(p95)
        assert int(accepted) <= int(exact) <= 1
        assert {"detect", "hash", "match", "read", "decide"} <= {*steps}
