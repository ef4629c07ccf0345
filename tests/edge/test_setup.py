"""Setting a station up by questions or flags: the file that is written, and what is said of it."""

import json
import socket
import stat
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import gphoto2
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.local.processes import free_port
from cardmint_contracts.http import STATION_CODE_PATH, TENANT_PATH
from cardmint_contracts.station_codes import StationCredentials
from cardmint_contracts.wire import encode
from cardmint_edge import setup_commands
from cardmint_edge.adapters.cameras import discovery
from cardmint_edge.adapters.cameras.discovery import FoundCamera, find_cameras
from cardmint_edge.adapters.lan import lan_address
from cardmint_edge.cli import cli
from cardmint_edge.settings import load
from cardmint_edge.station_setup import as_toml

DEAD_BROKER = f"127.0.0.1:{free_port()}"


def run(config: Path, *options: object, text: str | None = None) -> Result:
    arguments = ["setup", "--config", str(config), *map(str, options)]
    if text is None:
        arguments.append("--yes")
    return CliRunner().invoke(cli, arguments, input=text)


def table(config: Path) -> dict[str, Any]:
    return tomllib.loads(config.read_text())


@pytest.fixture(autouse=True)
def _no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "find_cameras", list)


@pytest.mark.integration
def test_flags_make_a_station_that_works(
    tmp_path: Path, fictional: Path, broker: LocalBroker
) -> None:
    config = tmp_path / "station.toml"
    result = run(
        config,
        *("--tenant", "shop", "--name", "left", "--pack", fictional / "pack.sqlite"),
        *("--camera", "folder:shots", "--broker", f"127.0.0.1:{broker.port}", "--lan"),
    )
    assert result.exit_code == 0, result.output
    assert "well  login" in result.output
    settings = load(config, {})
    assert settings.station.page_host == "0.0.0.0"
    assert len(settings.station.page_pin) == 6
    assert f"PIN:        {settings.station.page_pin}" in result.output
    assert (tmp_path / "shots").is_dir()
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_questions_have_defaults_and_are_asked_again(tmp_path: Path, fictional: Path) -> None:
    config = tmp_path / "station.toml"
    typed = [
        "My Shop",
        "my-shop",
        "left",
        "",
        str(fictional / "pack.sqlite"),
        "2",
        "in",
        DEAD_BROKER,
    ]
    result = run(config, text="\n".join([*typed, "n", "left", "secret", "", "n", ""]))
    assert result.exit_code == 0, result.output
    assert "lower-case letters" in result.output
    found = table(config)
    station = {"tenant": "my-shop", "name": "left", "data": "data"}
    assert {key: found["station"][key] for key in station} == station
    assert found["camera"] == {"type": "folder", "path": "in"}
    assert found["broker"]["password"] == "secret"
    assert "secret" not in result.output
    assert "counting goes on without it" in result.output


def test_an_existing_file_gives_defaults_and_keeps_the_rest(
    tmp_path: Path, fictional: Path
) -> None:
    config = tmp_path / "station.toml"
    config.write_text(
        '[station]\ntenant = "shop"\nname = "left"\ndata = "data"\nreserve_mb = 9\n'
        'page_host = "0.0.0.0"\npage_pin = "123456"\n'
        f'[recognition]\npack = "{fictional / "pack.sqlite"}"\nhosts = ["a.example", "b.example"]\n'
        f'[camera]\ntype = "video"\ndevice = "{tmp_path / "none"}"\n[broker]\nport = 1\n'
    )
    result = run(config, "--name", "right")
    assert result.exit_code == 1, "the camera is not there"
    found = table(config)
    assert found["station"]["name"] == "right"
    assert (found["station"]["reserve_mb"], found["station"]["page_pin"]) == (9, "123456")
    assert found["recognition"]["hosts"] == ["a.example", "b.example"]
    assert found["camera"]["type"] == "video"
    run(config, "--no-lan")
    assert "page_host" not in table(config)["station"]
    asked = run(config, text="\n" * 12)
    assert "as it is: video" in asked.output
    assert table(config)["camera"]["type"] == "video"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--tenant", "Bad Name"], "lower-case letters"),
        (["--broker", "host:99999"], "no HOST or HOST:PORT"),
        (["--camera", "polaroid"], "folder:PATH"),
        (["--camera", "folder:"], "folder:PATH"),
        (["--pin", "12"], "station.page_pin"),
        (["--cloud", "cards"], "cloud.url"),
    ],
)
def test_a_wrong_answer_is_named(tmp_path: Path, options: list[str], says: str) -> None:
    result = run(tmp_path / "station.toml", "--broker", DEAD_BROKER, *options)
    assert result.exit_code != 0
    assert says in result.output + str(result.exception)
    assert "Traceback" not in result.output


def test_a_file_that_is_no_toml_or_cannot_be_written_is_named(tmp_path: Path) -> None:
    config = tmp_path / "station.toml"
    config.write_text("[station\n")
    assert "not TOML" in str(run(config).exception)
    (tmp_path / "file").touch()
    assert "cannot" in str(run(tmp_path / "file" / "station.toml").exception)


@pytest.mark.parametrize(
    ("camera", "settings"),
    [
        ("phone", {"type": "phone"}),
        ("video:1", {"type": "video", "device": 1}),
        ("video:", {"type": "video", "device": 0}),
        ("video:/dev/v4l/by-id/x", {"type": "video", "device": "/dev/v4l/by-id/x"}),
        ("tethered", {"type": "tethered"}),
        ("tethered:Nikon D750", {"type": "tethered", "model": "Nikon D750"}),
    ],
)
def test_a_camera_by_flag(tmp_path: Path, camera: str, settings: dict[str, Any]) -> None:
    config = tmp_path / "station.toml"
    run(config, "--camera", camera, "--broker", DEAD_BROKER)
    assert table(config)["camera"] == settings


def test_cameras_that_are_plugged_in_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    webcam = FoundCamera(type="video", key="device", value="/dev/none", name="Logi C920")
    monkeypatch.setattr(discovery, "find_cameras", lambda: [webcam])
    config = tmp_path / "station.toml"
    result = run(config, "--broker", DEAD_BROKER, text="\n" * 12)
    assert "1  Logi C920 (video)" in result.output
    assert table(config)["camera"] == {"type": "video", "device": "/dev/none"}
    run(tmp_path / "other.toml", "--broker", DEAD_BROKER)
    assert table(tmp_path / "other.toml")["camera"]["type"] == "video"
    monkeypatch.setattr(discovery, "find_cameras", list)
    run(tmp_path / "third.toml", "--broker", DEAD_BROKER)
    assert table(tmp_path / "third.toml")["camera"] == {"type": "phone"}


def test_cameras_are_found_by_name_number_and_model(tmp_path: Path) -> None:
    by_id, devices = tmp_path / "by-id", tmp_path / "dev"
    devices.mkdir()
    for name in ("video0", "video1", "tty1"):
        (devices / name).touch()
    canon = [("Canon EOS R5", "usb:001,004")]
    found = find_cameras(by_id, devices, autodetect=lambda: canon)
    assert [(one.type, one.value) for one in found] == [
        ("tethered", "Canon EOS R5"),
        ("video", str(devices / "video0")),
        ("video", str(devices / "video1")),
    ]
    by_id.mkdir()
    for name in ("usb-Logi_C920-video-index0", "usb-Logi_C920-video-index1"):
        (by_id / name).touch()
    (_, webcam) = find_cameras(by_id, devices, autodetect=lambda: canon)
    assert (webcam.name, webcam.value) == ("Logi C920", str(by_id / "usb-Logi_C920-video-index0"))

    def broken() -> list[tuple[str, str]]:
        raise gphoto2.GPhoto2Error(gphoto2.GP_ERROR)

    assert [one.type for one in find_cameras(by_id, devices, autodetect=broken)] == ["video"]
    assert find_cameras(tmp_path / "none", tmp_path / "none") == []


@pytest.fixture
def cloud() -> Iterator[Callable[[bytes], str]]:
    """Return a function that serves one body under every address."""

    def serve(body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == TENANT_PATH else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    servers: list[tuple[ThreadingHTTPServer, Thread]] = []
    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join(20)


@pytest.mark.parametrize(
    ("body", "health", "says"),
    [
        (b'{"tenant": "shop"}', "well", "as on the dashboard"),
        (b'{"tenant": "cards"}', "ill", 'set station.tenant = "cards"'),
        (b"<html>", "look", "does not say which tenant"),
    ],
    ids=["same", "other", "older-cloud"],
)
def test_a_tenant_that_is_not_the_clouds_is_named(
    tmp_path: Path,
    fictional: Path,
    cloud: Callable[[bytes], str],
    body: bytes,
    health: str,
    says: str,
) -> None:
    result = run(
        tmp_path / "station.toml",
        *("--tenant", "shop", "--pack", fictional / "pack.sqlite", "--camera", "phone"),
        *("--broker", DEAD_BROKER, "--cloud", cloud(body)),
    )
    (line,) = [line for line in result.output.splitlines() if line[6:12] == "tenant"]
    assert line.split()[0] == health
    assert says in result.output
    assert result.exit_code == (health == "ill")


@pytest.mark.integration
def test_a_broker_that_refuses_the_login_is_said(
    tmp_path: Path, fictional: Path, broker: LocalBroker
) -> None:
    config = tmp_path / "station.toml"
    run(config, "--pack", fictional / "pack.sqlite", "--broker", f"127.0.0.1:{broker.port}")
    broker.kill()
    doctor = CliRunner().invoke(cli, ["doctor", "--config", str(config), "--json"])
    parts = [json.loads(line)["part"] for line in doctor.output.splitlines()]
    assert "login" not in parts, "nothing to log in at"


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]),
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"])),
            st.integers(-(2**53), 2**53),
            st.booleans(),
            st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
        ),
    )
)
def test_what_is_written_is_read_again(values: dict[str, Any]) -> None:
    assert tomllib.loads(as_toml({"section": values})) == {"section": values}


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", ""),
        ("::1", ""),
        ("localhost", ""),
        ("192.168.1.5", "192.168.1.5"),
        ("fd00::5", "[fd00::5]"),
        ("station.lan", "station.lan"),
    ],
)
def test_the_address_for_phones(host: str, address: str) -> None:
    assert lan_address(host) == address
    for everywhere in ("0.0.0.0", "::"):
        assert lan_address(everywhere)


@pytest.mark.parametrize("taken", [1, 2], ids=["one free", "none free"])
def test_the_page_gets_another_port_where_its_own_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    config = tmp_path / "station.toml"
    with socket.create_server(("127.0.0.1", 0)) as dashboard:
        ports = (dashboard.getsockname()[1], free_port())[: 3 - taken]
        monkeypatch.setattr(setup_commands, "PAGE_PORTS", ports)
        result = run(config, "--broker", DEAD_BROKER, "--camera", "folder:in", "--no-lan")
        assert table(config)["station"]["page_port"] == (ports[1] if taken == 1 else 0)
        assert f"Another program uses port {ports[0]}" in result.output
        run(config, "--broker", DEAD_BROKER)
    assert table(config)["station"]["page_port"] == (ports[1] if taken == 1 else 0)


class CodeHandler(BaseHTTPRequestHandler):
    """A cloud that takes one code."""

    status = 200
    answer: bytes = b""
    asked: bytes = b""

    def do_POST(self) -> None:
        type(self).asked = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status if self.path == STATION_CODE_PATH else 404)
        self.send_header("content-length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def code_cloud() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), CodeHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_code_is_all_that_a_station_needs(tmp_path: Path, code_cloud: str) -> None:
    CodeHandler.status = 200
    credentials = StationCredentials(
        tenant="cards",
        station="left",
        token="cm_" + "a" * 43,
        broker_user="cards/left",
        broker_password="hidden",
        broker_port=int(DEAD_BROKER.partition(":")[2]),
    )
    CodeHandler.answer = encode(credentials)
    config = tmp_path / "station.toml"
    done = run(config, "--cloud", code_cloud, "--code", "ABCD-EFGH")
    assert "This is the station left of cards now." in done.output
    assert json.loads(CodeHandler.asked) == {"code": "ABCD-EFGH"}
    written = table(config)
    assert written["station"]["tenant"] == "cards"
    assert written["station"]["name"] == "left"
    assert written["broker"]["host"] == "127.0.0.1"
    assert written["broker"]["port"] == credentials.broker_port
    assert (written["broker"]["username"], written["broker"]["password"]) == (
        "cards/left",
        "hidden",
    )
    assert (written["cloud"]["url"], written["cloud"]["token"]) == (code_cloud, credentials.token)
    CodeHandler.answer = encode(StationCredentials(tenant="cards", station="left", token=""))
    other = tmp_path / "other.toml"
    run(other, "--cloud", code_cloud, "--code", "x", "--broker", DEAD_BROKER, "--name", "right")
    assert table(other)["station"]["name"] == "right"
    assert table(other)["broker"]["username"] == ""


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [(404, b"", "does not take the code"), (200, b"<html>", "no cloud of CardMint")],
    ids=["refused", "another"],
)
def test_a_code_that_is_not_taken_writes_nothing(
    tmp_path: Path, code_cloud: str, status: int, answer: bytes, says: str
) -> None:
    CodeHandler.status, CodeHandler.answer = status, answer
    config = tmp_path / "station.toml"
    done = run(config, "--cloud", code_cloud, "--code", "x")
    assert says in str(done.exception)
    assert not config.exists()


def test_a_code_needs_a_cloud_that_is_there(tmp_path: Path) -> None:
    config = tmp_path / "station.toml"
    assert "say --cloud, too" in run(config, "--code", "x").output
    for url in (f"http://{DEAD_BROKER}", "http://[", "no address"):
        done = run(config, "--cloud", url, "--code", "x")
        assert "cannot be reached" in str(done.exception), url
    assert not config.exists()
