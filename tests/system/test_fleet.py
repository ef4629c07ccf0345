"""A new pack and new settings go from the cloud to a station and are reported back."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from cardmint_cloud.errors import StopService
from cardmint_contracts import topics
from cardmint_lab.system import System, installed_script
from tests.edge.kit.waiting import until
from tests.system.kit import simulator, wait_for

pytestmark = pytest.mark.system

CARDS = 4


def said(*words: str) -> str:
    command = installed_script(["cardmint-edge", *words])
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private key whose public half the stations know."""
    file = tmp_path / "fleet.key"
    monkeypatch.setenv(
        "CARDMINT_EDGE_RECOGNITION_SIGNED_BY", said("fleet", "key", "--out", str(file)).strip()
    )
    return file


def retained(port: int, topic: str) -> bytes:
    """Return the retained message of a topic, or the next one."""
    heard: list[bytes] = []
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.on_connect = lambda client, *_: client.subscribe(topic, 1)
    client.on_message = lambda _client, _data, message: heard.append(bytes(message.payload))
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        until(lambda: heard)
    finally:
        client.disconnect()
        client.loop_stop()
    return heard[0]


def station_of(system: System) -> dict[str, Any]:
    (station,) = httpx.get(f"{system.dashboard}api/v1/{system.tenant}/stations").json()["stations"]
    return dict(station)


def test_a_pack_and_settings_reach_a_station_and_come_back_as_reported(
    key: Path, system: System, fictional: Path, tmp_path: Path
) -> None:
    system.start_station("left", simulator(CARDS, seed=7))
    wait_for(system, lambda now: now.cards == CARDS)
    pack, version = tmp_path / "new.sqlite", "another"
    shutil.copy(fictional / "pack.sqlite", pack)
    with closing(sqlite3.connect(pack)) as new, new:
        new.execute("UPDATE meta SET value = ? WHERE key = 'version'", (version,))
    signing = (
        "--key",
        str(key),
        "--artifact",
        "catalogue",
        "--version",
        version,
        "--url",
        "https://elsewhere.example",
    )
    manifest = tmp_path / "manifest.json"
    manifest.write_text(said("fleet", "manifest", *signing, "--file", str(pack)))
    publishing = ("fleet", "publish", str(manifest), "--url", system.dashboard, "--file")
    with pytest.raises(StopService, match="is not what the manifest names"):
        system.cloud("fleet", *publishing, str(fictional / "pack.sqlite"))
    system.cloud("fleet", *publishing, str(pack))
    until(lambda: (station_of(system)["reported"] or {}).get("catalogue") == version)

    system.cloud("fleet", "fleet", "configure", "left", "--reserve-mb", "77", "--pause-uploads")
    until(lambda: station_of(system)["reported"]["version"] == 1)
    system.cloud("fleet", "fleet", "configure", "left", "--max-kb-per-s", "9")
    until(lambda: station_of(system)["reported"]["version"] == 2)
    reported = station_of(system)["reported"]
    assert (reported["reserve_mb"], reported["max_kb_per_s"], reported["uploads_paused"]) == (
        77,
        9,
        True,
    )
    page = " ".join(httpx.get(f"{system.dashboard}stations").text.split())
    assert f"Catalogue for all: {version}" in page
    assert "in use" in page

    system.kill("broker")
    system.start("broker")
    until(lambda: system.connected("left"))
    signed = json.loads(manifest.read_text())
    topic = topics.fleet_topic(system.tenant, "catalogue")
    address = json.loads(retained(system.broker.port, topic))[
        "url"
    ]  # the broker forgot it, and was told again
    rest = httpx.get(address, headers={"range": "bytes=1000-"})
    size = signed["bytes"]
    assert (rest.status_code, rest.headers["content-range"]) == (
        206,
        f"bytes 1000-{size - 1}/{size}",
    )
    assert hashlib.sha256(pack.read_bytes()[:1000] + rest.content).hexdigest() == signed["sha256"]
    assert httpx.get(address, headers={"range": f"bytes={size}-"}).status_code == 416
    assert httpx.get(address.replace(signed["sha256"], "0" * 64)).status_code == 404
