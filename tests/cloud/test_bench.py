"""The benchmarks count what they sent; the figures themselves are not judged."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cardmint_cloud.local.broker import LocalBroker

pytestmark = pytest.mark.integration


INGEST = (
    "events_per_second",
    "limit_events_per_second",
    "ratio",
    "publish_to_visible_p99_ms",
    "rss_mb",
)


def report(*words: str) -> dict[str, Any]:
    script = Path(sys.executable).with_name("cardmint-lab")
    done = subprocess.run(
        [script, "cloud", *words, "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("words", "events", "measured"),
    [
        (("ingest", "--events", "500", "--stations", "3", "--batch", "7"), 500, INGEST),
        (
            ("drain", "--events", "300", "--stations", "30", "--batch", "1"),
            300,
            ("events_per_second", "rss_mb"),
        ),
        (
            ("storm", "--stations", "60", "--events", "3"),
            180,
            ("connected_s", "receipted_p99_s", "rss_mb"),
        ),
    ],
)
def test_a_benchmark_counts_everything_once(
    words: tuple[str, ...], events: int, measured: tuple[str, ...]
) -> None:
    found = report(*words)
    assert (found["events"], found["lost"], found["duplicated"], found["parked"]) == (
        events,
        0,
        0,
        0,
    )
    assert found["equals_log"] is True
    assert all(found[name] > 0 for name in measured)
    if words[0] == "storm":
        assert found["online"] == 60


def test_the_feed_is_measured_and_misses_nothing() -> None:
    found = report("feed", "--events", "300", "--stations", "3", "--rounds", "1", "--paced-s", "1")
    assert (found["missing"], found["out_of_order"]) == (0, 0)
    assert found["paced_events"] >= 500
    assert found["replayed"] >= 300
    assert found["ratio"] > 0
    assert found["commit_to_message_p99_ms"] > 0


def test_the_log_is_grown_and_asked() -> None:
    found = report("log", "--events", "400", "--events", "1200")
    assert found["events"] == [400, 1200]
    assert 0 < found["lines"][0] < found["lines"][1]
    assert all(one > 0 for all_ in found["milliseconds"].values() for one in all_)
    assert found["ratio"] == found["ratios"]["inventory with filter and sort"]


def test_files_are_written_and_read_again_without_a_loss() -> None:
    found = report("files", "--items", "300")
    assert (found["items"], found["rows"], found["lost"]) == (300, 300, 0)
    assert found["format_wrong"] == 0
    assert min(found[name] for name in ("export_s", "format_s", "check_s", "import_s")) > 0


def test_servers_that_are_there_are_used(owner_database: str, tmp_path: Path) -> None:
    broker = LocalBroker(tmp_path, kind="iotcore").start()
    try:
        found = report(
            "ingest",
            "--events",
            "60",
            "--database",
            owner_database,
            "--broker",
            f"127.0.0.1:{broker.port}",
        )
    finally:
        broker.stop()
    assert (found["broker"], found["postgres_cpu_us"], found["lost"]) == ("given", 0, 0)


def test_bench_prices_makes_no_call_too_many() -> None:
    found = report("prices", "--events", "20", "--scans", "120", "--printings", "60")
    assert (found["single_calls"], found["priced_single"], found["priced_bulk"]) == (60, 60, 60)
    assert found["bulk_calls"] == 2 * found["bulk_sets"] == 20
    assert found["dead_hour_calls"] <= found["dead_hour_periods"] + 2 * 5
    assert 0 < found["hit_p50_ms"] < found["overhead_p50_ms"] < found["miss_p50_ms"]


def test_bench_reviews_follows_every_question_to_the_stations_page() -> None:
    found = report("reviews", "--questions", "3")
    assert found["questions"] == 3
    assert 0 <= found["p50_ms"] <= found["p99_ms"] == found["most_ms"]


def test_reading_is_measured_beside_the_least_that_could_answer() -> None:
    script = Path(sys.executable).with_name("cardmint-lab")
    words = (str(script), "cloud", "reads", "--read-s", "0.2", "--json")
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    found = json.loads(done.stdout)
    lines = [line["what"] for line in found["lines"]]
    assert {"route, h11, asyncio", "row, two processes"} <= set(lines), done.stderr
    assert sum(line.endswith(", tag") for line in lines) == 3
    assert sum(line.endswith(", made") for line in lines) == 3
    assert all(line["requests"] > 0 for line in found["lines"])


def test_the_cost_of_policies_is_measured_both_ways() -> None:
    script = Path(sys.executable).with_name("cardmint-lab")
    words = ("policies", "--events", "200", "--rounds", "1", "--read-s", "0.3", "--json")
    done = subprocess.run(
        [script, "cloud", *words], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode in {0, 1}, done.stderr  # So little time says nothing about the target.
    found = json.loads(done.stdout)
    assert min(found.values()) > 0
    assert done.stderr.count("events/s") == 2


def test_every_page_comes_back_after_a_restart() -> None:
    script = Path(sys.executable).with_name("cardmint-lab")
    words = (str(script), "cloud", "pages", "--pages", "40", "--json")
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    found = json.loads(done.stdout)  # The exit code says whether it was in time.
    assert (found["pages"], found["refused"]) == (40, 0)
    assert found["open_mb"] > 0
