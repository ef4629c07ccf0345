"""A pack file that is replaced while the station runs comes into use, or is said not to."""

import shutil
import threading
from pathlib import Path

import pytest
from tests.edge.kit.waiting import until

from cardmint_edge.adapters.pack import Pack
from cardmint_edge.errors import Stop
from cardmint_edge.pack_file import PackFileWatch


class Bench:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "pack.sqlite"
        self.file.write_text("one")
        self.in_use = True
        self.loaded: list[str] = []
        self.watch = PackFileWatch(
            self.file, in_use=lambda: self.in_use, reload=self.reload, poll_s=0.01
        )

    def reload(self) -> str:
        text = self.file.read_text()
        if text == "damaged":
            raise Stop("not a pack")
        self.loaded.append(text)
        return text

    def replace(self, text: str) -> None:
        new = self.file.with_name("new")
        new.write_text(text)
        new.rename(self.file)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_file_that_stays_is_not_loaded_again(bench: Bench) -> None:
    for _ in range(3):
        bench.watch.look()
    assert bench.loaded == []


def test_a_replaced_file_is_used_once_it_does_not_change(bench: Bench) -> None:
    bench.replace("two, half")
    bench.watch.look()
    bench.replace("two")
    bench.watch.look()
    assert bench.loaded == [], "it still changes"
    bench.watch.look()
    bench.watch.look()
    assert (bench.loaded, bench.watch.problem) == (["two"], "")


def test_a_file_that_cannot_be_used_is_said_until_another_comes(bench: Bench) -> None:
    bench.replace("damaged")
    bench.watch.look()
    bench.watch.look()
    assert "the earlier pack stays in use: not a pack" in bench.watch.problem
    bench.file.unlink()
    bench.watch.look()
    bench.watch.look()
    assert "is gone" in bench.watch.problem
    bench.replace("three")
    bench.watch.look()
    bench.watch.look()
    assert (bench.loaded, bench.watch.problem) == (["three"], "")


def test_a_pack_from_the_cloud_stays_in_use(bench: Bench) -> None:
    bench.in_use = False
    bench.replace("two")
    bench.watch.look()
    bench.watch.look()
    assert bench.loaded == []


def test_it_looks_until_it_is_stopped(bench: Bench) -> None:
    thread = threading.Thread(target=bench.watch.run)
    thread.start()
    bench.replace("two")
    until(lambda: bench.loaded == ["two"])
    bench.watch.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_a_running_station_takes_the_new_pack(fictional: Path, tmp_path: Path) -> None:
    file = tmp_path / "pack.sqlite"
    shutil.copy(fictional / "pack.sqlite", file)
    opened: list[Pack] = []

    def reload() -> str:
        opened.append(Pack(file))
        return opened[-1].version

    watch = PackFileWatch(file, in_use=lambda: True, reload=reload)
    file.write_bytes(b"a half copied file")
    watch.look()
    watch.look()
    assert "not even SQLite" in watch.problem
    shutil.copy(fictional / "pack.sqlite", file)
    watch.look()
    watch.look()
    assert (len(opened), watch.problem) == (1, "")
    opened[0].close()
