"""Transfer by file: another machine sends the exported events, and each counts once."""

import gzip
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.edge.kit.agent import ForwardingAgent
from tests.edge.kit.scans import STAMP, image_of, scan_of
from tests.edge.kit.station import config_of
from tests.edge.kit.waiting import until
from tests.edge.kit.worker import CloudWorker

from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import free_port
from cardmint_contracts.settings import BrokerSettings
from cardmint_edge.adapters.sqlite.images import ImageTable
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.cli import cli


def outbox(*words: object) -> Result:
    return CliRunner().invoke(cli, ["outbox", *(str(word) for word in words)])


@pytest.mark.integration
def test_a_file_brings_the_events_and_the_station_none_twice(
    tmp_path: Path, broker: LocalBroker, worker: CloudWorker
) -> None:
    hall = config_of(tmp_path, tmp_path / "pack", free_port())
    with closing(Outbox.open(tmp_path / "data" / "outbox.db")) as written:
        wanted = [written.record(scan_of(number), STAMP).scan.scan for number in range(1, 121)]
    file = tmp_path / "carry.gz"
    assert "120 events" in outbox("export", "--config", hall, "--out", file).stdout

    (tmp_path / "office").mkdir()
    office = config_of(tmp_path / "office", tmp_path / "pack", broker.port)
    office.write_text(office.read_text().replace('name = "left"', 'name = "office"'))
    said = outbox("import", "--config", office, file)
    assert "120 events of left are with the cloud" in said.stdout
    assert worker.scans == wanted
    again = outbox("export", "--config", hall, "--out", tmp_path / "again.gz").stdout
    assert "120 events" in again, "only a receipt removes what the station holds"

    agent = ForwardingAgent(tmp_path / "data", BrokerSettings(port=broker.port))
    until(lambda: agent.queued == 0)
    assert agent.outbox.record(scan_of(500), STAMP).sequence == 121
    until(lambda: agent.queued == 0)
    agent.stop()
    assert worker.scans[:120] == wanted
    assert len(worker.scans) == 121


@pytest.mark.integration
def test_a_long_queue_goes_in_several_files(
    tmp_path: Path, broker: LocalBroker, worker: CloudWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cardmint_edge.outbox_transfer.MAX_EXPORTED", 50)
    config = config_of(tmp_path, tmp_path / "pack", broker.port)
    with closing(Outbox.open(tmp_path / "data" / "outbox.db")) as written:
        wanted = [written.record(scan_of(number), STAMP).scan.scan for number in range(1, 121)]
    after, files = 0, list[Path]()
    while after < 120:
        files.append(tmp_path / f"{after}.gz")
        said = outbox("export", "--config", config, "--out", files[-1], "--after", after).stdout
        after = min(120, after + 50)
        assert (f"--after {after}" in said) == (after < 120)
    nothing = outbox("export", "--config", config, "--out", files[0], "--after", 121)
    assert "the outbox ends at 120" in str(nothing.exception)
    for file in files:
        assert "are with the cloud" in outbox("import", "--config", config, file).stdout
    assert worker.scans == wanted


@pytest.mark.integration
def test_without_a_cloud_it_says_that_nothing_is_lost(tmp_path: Path, broker: LocalBroker) -> None:
    config = config_of(tmp_path, tmp_path / "pack", broker.port)
    with closing(Outbox.open(tmp_path / "data" / "outbox.db")) as written:
        written.record(scan_of(1), STAMP)
    file = tmp_path / "carry.gz"
    outbox("export", "--config", config, "--out", file)
    result = outbox("import", "--config", config, "--timeout", 0.5, file)
    assert "nothing is lost" in str(result.exception)


def test_files_that_are_none(tmp_path: Path) -> None:
    config = config_of(tmp_path, tmp_path / "pack", 1883)
    file = tmp_path / "carry.gz"
    assert "cannot read" in str(outbox("import", "--config", config, file).exception)
    for content in (b"no gzip", gzip.compress(b"{}"), gzip.compress(b"x" * 500)[:30]):
        file.write_bytes(content)
        assert "not a complete export" in str(outbox("import", "--config", config, file).exception)
    with closing(Outbox.open(tmp_path / "data" / "outbox.db")) as written:
        written.record(scan_of(1), STAMP)
    assert "cannot write" in str(
        outbox("export", "--config", config, "--out", tmp_path / "no" / "x.gz").exception
    )
    outbox("export", "--config", config, "--out", file)
    file.write_bytes(
        gzip.compress(gzip.decompress(file.read_bytes()).replace(b'"format":2', b'"format":9'))
    )
    assert "newer agent" in str(outbox("import", "--config", config, file).exception)


def test_refused_images_go_again(tmp_path: Path) -> None:
    config = config_of(tmp_path, tmp_path / "pack", 1883)
    assert "there is no outbox" in str(outbox("replay", "--config", config).exception)
    with closing(Outbox.open(tmp_path / "data" / "outbox.db")) as written:
        written.record(scan_of(1, image=image_of(1)), STAMP)
        ImageTable(written.database).park(image_of(1).sha256, "refused")
    assert "1 images are sent again" in outbox("replay", "--config", config).stdout


def test_files_that_are_huge_are_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, tmp_path / "pack", 1883)
    file = tmp_path / "carry.gz"
    with file.open("wb") as sparse:
        sparse.truncate(3 << 30)
    said = str(outbox("import", "--config", config, file).exception)
    assert "it is larger than 64 MB; export it again" in said
    with gzip.open(file, "wb", compresslevel=9) as bomb:
        for _ in range(300):
            bomb.write(bytes(1 << 20))
    said = str(outbox("import", "--config", config, file).exception)
    assert "it decompresses to more than 256 MB" in said
    file.write_bytes(gzip.compress(b"[" * 100_000))
    assert "not a complete export" in str(outbox("import", "--config", config, file).exception)
    assert "not a complete export" in str(
        outbox("import", "--config", config, "/dev/zero").exception
    )
