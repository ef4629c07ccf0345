"""The benchmarks count what they sent; the figures themselves are not judged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(("events", "stations", "batch"), [(500, 3, 7), (60, 100, 1)])
def test_bench_ingest_counts_everything_once(events: int, stations: int, batch: int) -> None:
    words = ["bench", "ingest", "--events", str(events), "--stations", str(stations), "--batch", str(batch), "--json"]
    script = Path(sys.executable).with_name("cardmint-cloud")
    done = subprocess.run([script, *words], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["events"], report["lost"], report["duplicated"], report["parked"]) == (events, 0, 0, 0)
    assert report["equals_log"] is True
    for name in ("events_per_second", "limit_events_per_second", "ratio", "publish_to_visible_p99_ms", "rss_mb"):
        assert report[name] > 0, name


def test_bench_prices_makes_no_call_too_many() -> None:
    words = ["bench", "prices", "--events", "20", "--scans", "120", "--printings", "60", "--json"]
    script = Path(sys.executable).with_name("cardmint-cloud")
    done = subprocess.run([script, *words], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["single_calls"], report["priced_single"], report["priced_bulk"]) == (60, 60, 60)
    assert report["bulk_calls"] == 2 * report["bulk_sets"] == 20
    assert report["dead_hour_calls"] <= report["dead_hour_periods"] + 5
    assert report["overhead_p99_ms"] > 0


def test_bench_reviews_follows_every_question_to_the_stations_page() -> None:
    script = Path(sys.executable).with_name("cardmint-cloud")
    words = ["bench", "reviews", "--questions", "5", "--json"]
    done = subprocess.run([script, *words], capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["questions"] == 5
    assert 0 < report["p50_ms"] <= report["p99_ms"] == report["most_ms"]
