"""The command `setup`: asks what a station needs, writes its settings, and tests them."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from cardmint_contracts import topics
from cardmint_contracts.errors import BadTopic
from cardmint_edge.run_commands import print_checks
from cardmint_edge.settings import LOOPBACK, load

if TYPE_CHECKING:
    from cardmint_edge.adapters.cameras.discovery import FoundCamera
    from cardmint_edge.station_setup import Answers

PASSWORD = "CARDMINT_EDGE_BROKER_PASSWORD"  # noqa: S105 - the variable's name
PAGE_PORTS = range(8080, 8100)
"""Ports for the page: the first one, unless another program has it."""
FILE = click.Path(dir_okay=False, path_type=Path)


class _Questions:
    """Asks, unless an answer was given by flag, or `--yes` takes the defaults."""

    def __init__(self, *, ask: bool) -> None:
        self._ask = ask

    def text(self, question: str, given: str | None, default: str) -> str:
        if given is not None or not self._ask:
            return default if given is None else given
        return str(click.prompt(question, default=default, show_default=bool(default)))

    def name(self, question: str, given: str | None, default: str) -> str:
        """Ask for a name of a tenant or station until it is one."""
        while True:
            text = self.text(question, given, default)
            try:
                return topics.name(text)
            except BadTopic as error:
                if given is not None or not self._ask:
                    raise click.UsageError(f"{question}: {error}") from error
                click.echo(f"  {error}")

    def yes(self, question: str, given: bool | None, *, default: bool) -> bool:
        if given is not None or not self._ask:
            return default if given is None else given
        return click.confirm(question, default=default)

    def choice(self, question: str, options: list[str], default: int) -> int:
        for number, option in enumerate(options, start=1):
            click.echo(f"  {number}  {option}")
        picked: int = click.prompt(
            question, type=click.IntRange(1, len(options)), default=default + 1
        )
        return picked - 1

    @property
    def asks(self) -> bool:
        return self._ask


@click.command()
@click.option(
    "--config", type=FILE, default=Path("station.toml"), show_default=True, help="File to write."
)
@click.option("--tenant", help="Whose station it is, as the cloud names it.")
@click.option("--name", help="The station's own name.")
@click.option("--data", type=click.Path(file_okay=False), help="Folder for counts and images.")
@click.option("--pack", type=click.Path(dir_okay=False), help="The catalogue pack.")
@click.option("--signed-by", help="Public key that signs packs from the cloud.")
@click.option(
    "--camera", help="phone, folder:PATH, video:DEVICE, tethered or tethered:MODEL; else it asks."
)
@click.option("--broker", help="The MQTT 5 broker, HOST or HOST:PORT.")
@click.option("--broker-user", help="The station's user at the broker.")
@click.option("--broker-password", help="Its password, or CARDMINT_EDGE_BROKER_PASSWORD.")
@click.option("--tls/--no-tls", default=None, help="Encrypt the broker's connection.")
@click.option("--ca-file", type=click.Path(dir_okay=False), help="Certificates to trust.")
@click.option("--cloud", help="The cloud's address, such as https://cards.example.com.")
@click.option("--cloud-token", help="The station's token there, if it has accounts.")
@click.option("--code", help="A code of the dashboard's page `People`: with --cloud it is enough.")
@click.option("--lan/--no-lan", default=None, help="Let phones reach the page, with a PIN.")
@click.option("--pin", help="The page's PIN, 6 to 12 digits; else one by chance.")
@click.option("--yes", is_flag=True, help="Ask nothing: take flags, then defaults.")
def setup(config: Path, *, yes: bool, **given: Any) -> None:
    """Ask what a station needs, write its settings, and test camera, broker and cloud.

    An existing file gives the defaults, and keeps what is not asked. The exit code is 1 when the
    station could not work as it is set.
    """
    from cardmint_edge.station_setup import read_answers, write_answers  # noqa: PLC0415 - MQTT

    questions = _Questions(ask=not yes)
    answers = read_answers(config)
    for name in ("station", "recognition", "camera", "broker", "cloud"):
        answers.setdefault(name, {})
    if given["code"] is not None:
        _take_code(answers, given)
    _ask_station(questions, answers, given, config)
    _ask_camera(questions, answers, given["camera"])
    _ask_cloud(questions, answers, given)
    _ask_page(questions, answers, given, config)
    write_answers(config, answers)
    if answers["camera"].get("type") == "folder":
        (config.absolute().parent / answers["camera"]["path"]).mkdir(parents=True, exist_ok=True)
    click.echo(f"\n{config} is written. Now it is tested:\n")
    _test(config)


def _take_code(answers: "Answers", given: dict[str, Any]) -> None:
    """Take what the cloud gives for a code as the answers; other flags count before it."""
    from cardmint_edge.adapters.station_code_http import credentials_for  # noqa: PLC0415 - needed once

    url = given["cloud"] or answers["cloud"].get("url", "")
    if not url:
        raise click.UsageError("--code: say --cloud, too, as the dashboard shows it")
    got = credentials_for(url, given["code"])
    host = urlsplit(url).hostname or ""
    broker = f"[{host}]" if ":" in host else host
    found = {
        "tenant": got.tenant,
        "name": got.station,
        "cloud_token": got.token,
        "broker_user": got.broker_user or None,
        "broker_password": got.broker_password or None,
        "broker": f"{broker}:{got.broker_port}" if got.broker_port else None,
    }
    for name, value in found.items():
        if given[name] is None:
            given[name] = value
    click.echo(f"This is the station {got.station} of {got.tenant} now.")


def _ask_station(
    questions: _Questions, answers: "Answers", given: dict[str, Any], config: Path
) -> None:
    station, recognition = answers["station"], answers["recognition"]
    station["tenant"] = questions.name(
        "Tenant (your shop's name in the cloud)", given["tenant"], station.get("tenant", "shop")
    )
    host = re.sub(r"[^a-z0-9-]+", "-", os.uname().nodename.lower()).strip("-") or "station"
    station["name"] = questions.name("Station", given["name"], station.get("name", host))
    station["data"] = questions.text(
        "Folder for counts and images", given["data"], station.get("data", "data")
    )
    recognition["pack"] = questions.text(
        "Catalogue pack", given["pack"], recognition.get("pack", f"{station['data']}/pack.sqlite")
    )
    if given["signed_by"] is not None:
        recognition["signed_by"] = given["signed_by"]
    if not (config.absolute().parent / recognition["pack"]).exists():
        click.echo(
            f"  {recognition['pack']} is not there yet: copy one there, or build it with"
            " `cardmint-edge catalogue build`"
        )


def _ask_camera(questions: _Questions, answers: "Answers", given: str | None) -> None:
    from cardmint_edge.adapters.cameras.discovery import find_cameras  # noqa: PLC0415 - gphoto2

    if given is not None:
        answers["camera"] = _camera_of(given)
        return
    found = find_cameras()
    before = answers["camera"]
    if not questions.asks:
        if not before:
            answers["camera"] = _settings_of(found[0]) if found else {"type": "phone"}
        return
    click.echo("\nCameras that were found:" if found else "\nNo camera was found.")
    options = [f"{camera.name} ({camera.type})" for camera in found]
    options += ["phones: photos through the station's page", "a folder into which photos are put"]
    if before:
        options.append(f"as it is: {before.get('type')}")
    picked = questions.choice("Camera", options, len(options) - 1 if before else 0)
    if picked < len(found):
        answers["camera"] = _settings_of(found[picked])
    elif picked == len(found):
        answers["camera"] = {"type": "phone"}
    elif picked == len(found) + 1:
        answers["camera"] = {"type": "folder", "path": questions.text("Folder", None, "inbox")}


def _settings_of(camera: "FoundCamera") -> dict[str, Any]:
    return {"type": camera.type, camera.key: camera.value}


def _camera_of(text: str) -> dict[str, Any]:
    kind, _, value = text.partition(":")
    keys = {"folder": "path", "video": "device", "tethered": "model"}
    if kind == "phone" and not value:
        return {"type": "phone"}
    if kind not in keys or (not value and kind == "folder"):
        raise click.UsageError(
            f"--camera {text}: phone, folder:PATH, video:DEVICE, tethered or tethered:MODEL"
        )
    if kind == "video" and (value or "0").isdecimal():
        return {"type": kind, "device": int(value or "0")}
    return {"type": kind, **({keys[kind]: value} if value else {})}


def _ask_cloud(questions: _Questions, answers: "Answers", given: dict[str, Any]) -> None:
    broker, cloud = answers["broker"], answers["cloud"]
    click.echo()
    host = questions.text(
        "MQTT broker, HOST or HOST:PORT",
        given["broker"],
        f"{broker.get('host', '127.0.0.1')}:{broker.get('port', 1883)}",
    )
    broker["host"], broker["port"] = _host_and_port(host)
    broker["tls"] = questions.yes(
        "Encrypted (TLS)?", given["tls"], default=broker.get("tls", broker["port"] == 8883)
    )
    if given["ca_file"] is not None:
        broker["ca_file"] = given["ca_file"]
    broker["username"] = questions.text(
        "User at the broker (empty: none)", given["broker_user"], broker.get("username", "")
    )
    if given["broker_password"] is not None:
        broker["password"] = given["broker_password"]
    elif (
        broker["username"] and questions.asks and "CARDMINT_EDGE_BROKER_PASSWORD" not in os.environ
    ):
        broker["password"] = click.prompt(
            "Password", default=broker.get("password", ""), hide_input=True, show_default=False
        )
    cloud["url"] = questions.text(
        "The cloud's address (empty: none)", given["cloud"], cloud.get("url", "")
    ).rstrip("/")
    if given["cloud_token"] is not None:
        cloud["token"] = given["cloud_token"]


def _host_and_port(text: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:mqtts?://)?(\[[0-9a-fA-F:.]+\]|[^:/\s]+)(?::([0-9]{1,5}))?/?", text)
    port = int(match[2] or 1883) if match else 0
    if match is None or not 0 < port < 65536:
        raise click.UsageError(f"the broker {text!r} is no HOST or HOST:PORT")
    return match[1].strip("[]"), port


def _ask_page(
    questions: _Questions, answers: "Answers", given: dict[str, Any], config: Path
) -> None:
    from cardmint_edge.adapters.lan import is_free  # noqa: PLC0415 - not at every start
    from cardmint_edge.adapters.sqlite.database import Database  # noqa: PLC0415 - as above
    from cardmint_edge.adapters.sqlite.outbox import OUTBOX_FILE  # noqa: PLC0415 - as above
    from cardmint_edge.station_setup import new_pin  # noqa: PLC0415 - MQTT

    station = answers["station"]
    here = station.get("page_host", "127.0.0.1")
    lan = given["lan"] if given["pin"] is None else True
    phones = answers["camera"].get("type") == "phone"
    open_ = questions.yes(
        "May phones and other machines of your network open the page, with a PIN?",
        lan,
        default=phones or here not in LOOPBACK,
    )
    if not open_:
        station.pop("page_host", None)
    elif here in LOOPBACK:
        station["page_host"] = "0.0.0.0"  # noqa: S104 - asked for, behind a PIN
    if open_:
        station["page_pin"] = given["pin"] or station.get("page_pin") or new_pin()
    running = Database.is_taken(config.absolute().parent / station["data"] / OUTBOX_FILE)
    host = station.get("page_host", "127.0.0.1")
    if "page_port" not in station and not running and not is_free(host, PAGE_PORTS[0]):
        station["page_port"] = next((one for one in PAGE_PORTS if is_free(host, one)), 0)
        click.echo(
            f"Another program uses port {PAGE_PORTS[0]}: the page will be at"
            f" {station['page_port'] or 'a free port, which the log names'}."
        )


def _test(config: Path) -> None:
    """Load the settings, check every part, and say what comes next."""
    from cardmint_edge.adapters.lan import lan_address  # noqa: PLC0415 - not at every start

    settings = load(config, os.environ)
    works = print_checks(settings, as_json=False)
    station = settings.station
    click.echo(f"\nStart it:   cardmint-edge run --config {config}")
    click.echo(f"Its page:   http://127.0.0.1:{station.page_port}/")
    address = lan_address(station.page_host)
    if address:
        click.echo(f"By phone:   http://{address}:{station.page_port}/phone")
        click.echo(f"PIN:        {station.page_pin}")
    sys.exit(0 if works else 1)
