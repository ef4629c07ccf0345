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
