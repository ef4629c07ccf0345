"""The doctor finds each problem, and names its remedy."""

import json
import socket
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.edge.kit.certificates import make_certificates
from tests.edge.kit.station import config_of

from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import free_port
from cardmint_edge import doctor
from cardmint_edge.adapters.models import PictureEmbedder
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.cli import cli

REPLAY = 'type = "replay"\npath = "images"'


def examined(config: Path) -> tuple[int, dict[str, dict[str, str]]]:
    result = CliRunner().invoke(
        cli, ["doctor", "--config", str(config), "--json"], catch_exceptions=False
    )
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, {one["part"]: one for one in found}


@pytest.mark.integration
def test_a_healthy_station(tmp_path: Path, fictional: Path, broker: LocalBroker) -> None:
    config = config_of(
        tmp_path,
        fictional / "pack.sqlite",
        broker.port,
        f'type = "replay"\npath = "{fictional / "images"}"',
    )
    code, found = examined(config)
    assert code == 0
    assert [part for part, one in found.items() if one["health"] != "well"] in ([], ["clock"])
    assert set(found) == {
        *(
            "outbox",
            "disk",
            "clock",
            "pack",
            "models",
            "camera",
            "page",
            "broker",
            "login",
            "cloud",
        ),
    }
    with closing(Outbox.open(tmp_path / "data" / "outbox.db")):
        assert "running agent" in examined(config)[1]["camera"]["says"]
    assert "sound, 0 events" in examined(config)[1]["outbox"]["says"]
    people = CliRunner().invoke(cli, ["doctor", "--config", str(config)])
    assert "well  pack" in people.stdout


def test_each_illness_is_named(tmp_path: Path) -> None:
    camera = f'type = "video"\ndevice = "{tmp_path / "none"}"'
    cloud = f"http://127.0.0.1:{free_port()}"
    config = config_of(tmp_path, tmp_path / "none.sqlite", free_port(), camera, cloud=cloud)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "outbox.db").write_bytes(b"not a database, whatever it is called" * 100)
    code, found = examined(config)
    assert code == 1
    ill = {
        part: one["health"]
        for part, one in found.items()
        if part not in {"clock", "disk", "models", "page"}
    }
    assert ill == {
        "outbox": "ill",
        "pack": "ill",
        "camera": "ill",
        "broker": "look",
        "cloud": "look",
    }
    assert (
        found["camera"]["mend"].startswith("plug it in") or "plug it in" in found["camera"]["says"]
    )
    assert "-> " in CliRunner().invoke(cli, ["doctor", "--config", str(config)]).stdout


def test_each_model_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PictureEmbedder", lambda: PictureEmbedder(tmp_path))
    _, found = examined(config_of(tmp_path, tmp_path / "none.sqlite", free_port(), REPLAY))
    assert found["models"]["health"] == "look"
    assert (
        found["models"]["says"]
        == f"{tmp_path / 'embedding.json'}: No such file or directory: the model is missing"
    )
    monkeypatch.undo()
    _, found = examined(config_of(tmp_path, tmp_path / "none.sqlite", free_port(), REPLAY))
    assert found["models"]["health"] == "well"
    assert [one.split()[0] for one in found["models"]["says"].split(", ")] == [
        "corners",
        "reader",
        "embedding",
        "languages",
    ]


@pytest.mark.integration
@pytest.mark.parametrize(("days", "health"), [(400, "well"), (11, "look")])
def test_certificates_and_their_dates(
    tmp_path: Path, fictional: Path, days: int, health: str
) -> None:
    ours, port = make_certificates(tmp_path / "ours", days=days), free_port()
    lines = f"user root\nlistener {port} 127.0.0.1\n"
    lines += f"certfile {ours / 'cert.pem'}\nkeyfile {ours / 'key.pem'}\n"
    secured = LocalBroker(tmp_path / "broker", kind="mosquitto", extra=lines).start()
    own = f'tls = true\nca_file = "{ours / "ca.pem"}"\n'
    own += f'cert_file = "{ours / "cert.pem"}"\nkey_file = "{ours / "key.pem"}"'
    config = config_of(
        tmp_path,
        fictional / "pack.sqlite",
        port,
        f'type = "replay"\npath = "{fictional / "images"}"',
    )
    config.write_text(config.read_text().replace(f"port = {port}", f"port = {port}\n{own}"))
    _, found = examined(config)
    assert (found["broker's certificate"]["health"], found["own certificate"]["health"]) == (
        health,
        health,
    )
    make_certificates(tmp_path / "theirs")
    config.write_text(
        config.read_text().replace(str(ours / "ca.pem"), str(tmp_path / "theirs" / "ca.pem"))
    )
    code, found = examined(config)
    assert (code, found["broker"]["health"]) == (1, "ill")
    assert "ca_file" in found["broker"]["mend"]
    secured.kill()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_commands(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert "_CARDMINT_EDGE_COMPLETE" in result.stdout


def test_a_port_of_the_page_that_another_program_uses_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = config_of(tmp_path, tmp_path / "none.sqlite", free_port(), REPLAY, page_port=port)
        code, found = examined(config)
    assert code == 1
    assert found["page"]["health"] == "ill"
    assert str(port) in found["page"]["says"]
    assert "station.page_port" in found["page"]["mend"]
