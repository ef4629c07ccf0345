"""The measuring commands: each does what it was asked for, and loses nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import free_port
from cardmint_lab.cli import cli

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def log_as_before() -> Any:
    import structlog

    before = structlog.get_config()
    yield
    structlog.configure(**before)


def measured(*words: object) -> dict[str, float]:
    result = CliRunner().invoke(
        cli, ["station", *(str(word) for word in words), "--json"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_the_outbox_beside_the_disk(tmp_path: Path) -> None:
    figures = measured("outbox", "--folder", tmp_path, "--cards", 60)
    assert figures["cards"] == 60
    assert figures["ratio"] == pytest.approx(
        figures["durable_cards_per_s"] / figures["syncs_per_s"], rel=0.01
    )
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_what_the_kernel_wrote() -> None:
    figures = measured(
        "outbox", "--folder", Path(), "--cards", 300
    )  # memory that is mounted as a disk counts nothing
    assert 4096 < figures["bytes_beyond_image"] <= 48 << 10  # checkpoints move it by some pages
    assert figures["image_bytes"] > 0


def test_from_the_shot_to_the_beep(tmp_path: Path, fictional: Path) -> None:
    figures = measured(
        "beep", "--pack", fictional / "pack.sqlite", "--folder", tmp_path, "--cards", 4
    )
    assert figures["cards"] == 4
    assert 0 < figures["store_p50_ms"] < figures["p50_ms"] <= figures["p95_ms"]
    assert 0 < figures["recognise_p50_ms"] < figures["p50_ms"]
    assert figures["cpu_p50_ms"] > 0
    assert 0 < figures["sync_p50_ms"] <= figures["sync_p95_ms"]


def test_a_backlog_leaves_while_cards_come(fictional: Path, broker: LocalBroker) -> None:
    figures = measured(
        "drain", "--pack", fictional / "pack.sqlite", "--port", broker.port, "--backlog", 400
    )
    assert (figures["backlog"], figures["live_cards"] >= 3) == (400, True)
    assert figures["memory_mb_most"] >= figures["memory_mb_before"] > 0


def test_a_long_run_in_short(fictional: Path, broker: LocalBroker) -> None:
    figures = measured(
        "soak", "--pack", fictional / "pack.sqlite", "--port", broker.port, "--cards", 20
    )
    assert figures["received"] >= figures["cards"] == 20
    assert figures["descriptors_last"] <= figures["descriptors_first"] + 2


def test_the_start(fictional: Path) -> None:
    figures = measured("start", "--pack", fictional / "pack.sqlite")
    assert 0 < figures["ready_s"] <= figures["first_card_s"]
    assert (
        figures["imported_own_mb"]
        < figures["imported_mb"]
        < figures["classical_mb"]
        < figures["running_mb"]
    )
    assert figures["running_own_mb"] < figures["running_mb"]


def test_without_a_broker_it_is_said(fictional: Path) -> None:
    port = free_port()
    words = ["station", "soak", "--pack", str(fictional / "pack.sqlite"), "--port", str(port)]
    result = CliRunner().invoke(cli, words)
    assert f"no broker at 127.0.0.1:{port}" in str(result.exception)


def test_an_agent_that_ends_is_quoted(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["station", "start", "--pack", str(tmp_path / "none.sqlite")])
    assert "the agent ended: cardmint-edge: " in str(result.exception)
