"""The cloud's image: it runs as nobody special, and every command of `cardmint-cloud` works in it.

`make image-test` builds it and sets CARDMINT_IMAGE to its name. Postgres and the broker run beside
it; the chroot isolation of buildah shares the network.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import httpx
import pytest

from cardmint_cloud.cli import cli
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.postgres import LocalPostgres
from cardmint_cloud.local.processes import ChildProcess, free_port
from cardmint_lab.folders import temporary_folder
from tests.cloud.kit.catalogue import BASE, write_catalogue

IMAGE = os.environ.get("CARDMINT_IMAGE", "")
BUILDAH = ["buildah", "--storage-driver", os.environ.get("CARDMINT_IMAGE_STORAGE", "vfs")]
LARGEST_MB = 500
"""Unpacked. Most of it is pyarrow, 170 MB, for retired months."""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("buildah"), reason="buildah is not installed"),
    pytest.mark.skipif(not IMAGE, reason="CARDMINT_IMAGE is not set; `make image-test` sets it"),
]

NEEDS_ROWS = {
    ("recover",): "there is nobody",
    ("person", "export"): "there is nobody",
    ("person", "erase"): "there is nobody",
    ("dead-letters", "replay"): "1",
    ("dead-letters", "discard"): "1",
}
"""Commands that are about somebody or something which a new database lacks: they say so."""

OTHERWISE = {("up",), ("add-station",), ("work",), ("serve",)}
"""`up` and `add-station` need the extra `local`, which the image lacks; the services are below."""


class Container:
    """A container of the image; `folder` is its `/data`, which its user may write."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._variables = [f"--env={name}={value}" for name, value in environment.items()]
        made = subprocess.run(
            [*BUILDAH, "from", IMAGE], check=True, capture_output=True, text=True, timeout=300
        )
        self.name = made.stdout.strip()

    def command(self, *words: str) -> list[str]:
        return [
            *(*BUILDAH, "run", "--isolation", "chroot", f"--volume={self.folder}:/data:rw"),
            *(*self._variables, self.name, "--", *words),
        ]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), check=False, capture_output=True, text=True, timeout=300
        )

    def remove(self) -> None:
        subprocess.run([*BUILDAH, "rm", self.name], check=True, capture_output=True, timeout=300)


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    with temporary_folder() as folder:
        data = folder / "container"
        data.mkdir()
        data.chmod(0o777)
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        assert binaries, "postgresql is not installed; pg_dump 17 of the image reads no newer one"
        postgres = LocalPostgres(folder / "postgres", binaries=binaries[-1]).start()
        broker = LocalBroker(folder / "broker", kind="mosquitto").start()
        running = Container(
            data,
            {
                **postgres.environment,
                "CARDMINT_CLOUD_TENANT": "shop",
                "CARDMINT_CLOUD_BROKER_PORT": str(broker.port),
                "CARDMINT_CLOUD_MASTER_KEYS": "/data/keys",
                "CARDMINT_CLOUD_WEB_PORT": str(free_port()),
                "CARDMINT_CLOUD_WEB_METRICS_PORT": str(free_port()),
                "CARDMINT_CLOUD_WEB_ACCOUNTS": "true",
                "CARDMINT_CLOUD_ARCHIVE": "/data/archive",
                "CARDMINT_CLOUD_ARTIFACTS": "/data/artifacts",
                "CARDMINT_CLOUD_IMAGES": "/data/images",
                "CARDMINT_CLOUD_PRICES_TCGDEX_URL": "http://127.0.0.1:9",
                "CARDMINT_CLOUD_PRICES_ORDER": "tcgdex",
            },
        )
        try:
            (data / "catalogue").mkdir()
            write_catalogue(data / "catalogue", BASE)
            yield running
        finally:
            running.remove()
            broker.stop()
            postgres.drop()


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name)


RUNS: tuple[tuple[str, ...], ...] = (
    ("master-key make", "/data/keys"),
    ("config check",),
    ("migrate",),
    ("identity",),
    ("master-key rotate",),
    ("invite", "--role", "viewer"),
    ("token", "grafana", "--scope", "metrics"),
    ("audit verify",),
    ("audit anchor", "/data/anchors"),
    ("recover", "nobody"),
    ("person export", "nobody"),
    ("person erase", "--yes", "nobody"),
    ("partitions make",),
    ("partitions list",),
    ("partitions retire", "--keep-months", "1"),
    ("rebuild",),
    ("catalogue import", "/data/catalogue"),
    ("prices export", "/data/prices.jsonl"),
    ("fleet configure", "left", "--reserve-mb", "600"),
    ("broker-rules", "shop/left"),
    ("dead-letters list",),
    ("dead-letters replay", "1"),
    ("dead-letters discard", "1"),
    ("pki make", "--folder", "/data/pki"),
    ("pki broker", "--folder", "/data/pki", "mqtt.example.com"),
    ("pki station", "--folder", "/data/pki", "shop/left"),
    ("pki list", "--folder", "/data/pki"),
    ("backup", "/data/shop.dump"),
    ("restore", "/data/shop.dump"),
    ("fleet publish", "/data/none", "--file", "/data/none", "--url", "https://cards.example.com"),
)


def test_every_command_works_in_it(container: Container) -> None:
    tried = set()
    for first, *words in RUNS:
        path = tuple(first.split())
        tried.add(path)
        done = container.run("cardmint-cloud", *path, *words)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, (path, said)
        if path in NEEDS_ROWS or path in {("restore",), ("fleet", "publish")}:
            assert done.returncode in {1, 2}, (path, said)
            continue
        assert done.returncode == 0, (path, said)
    assert tried | OTHERWISE == set(leaves(cli))
    assert (container.folder / "shop.dump").stat().st_size > 0


def test_worker_and_dashboard_start_and_end(container: Container, tmp_path: Path) -> None:
    variables = dict(
        one.removeprefix("--env=").split("=", 1)
        for one in container.command()
        if one.startswith("--env=")
    )
    children = {
        name: ChildProcess(
            container.command("cardmint-cloud", name), tmp_path / name, stdin=subprocess.DEVNULL
        )
        for name in ("serve", "work")
    }

    def answers(port: str, path: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    web, metrics = (variables[f"CARDMINT_CLOUD_WEB_{name}PORT"] for name in ("", "METRICS_"))
    try:
        children["serve"].wait_until(lambda: answers(web, "/healthz"), timeout_s=90)
        assert answers(metrics, "/metrics")
        assert not answers(metrics, "/login")
        assert not answers(web, "/metrics"), "there it needs a token"
        connected = tmp_path / "work"
        children["work"].wait_until(lambda: "connected" in connected.read_text(), timeout_s=90)
    finally:
        for child in children.values():
            child.stop(timeout_s=30, how=signal.SIGTERM)


def test_it_is_small_and_nobodys(container: Container) -> None:
    assert container.run("id", "-un").stdout.strip() == "cardmint"
    assert container.run("sh", "-c", "echo > /opt/cardmint/x").returncode != 0
    shown = subprocess.run(
        [*BUILDAH, "images", "--format", "{{.Size}}", IMAGE],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.split()
    print(f"{IMAGE}: {' '.join(shown)} unpacked")
    assert float(shown[0]) <= LARGEST_MB
    assert shown[1] == "MB"
