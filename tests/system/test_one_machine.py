"""`cardmint-cloud up`: the whole cloud in one folder, as a shop would use it."""

import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy.engine import make_url

from cardmint_cloud.errors import StopService
from cardmint_cloud.local.broker_users import BrokerUsers
from cardmint_cloud.local.processes import ChildProcess, free_port
from cardmint_cloud.one_machine import CloudFolder, Machine, SupervisedPart
from cardmint_contracts.cards import Image
from cardmint_contracts.events import CardScanned
from cardmint_contracts.settings import BrokerSettings
from cardmint_edge.adapters.cloud_http import CloudHttp
from cardmint_edge.domain.scan_record import WaitingImage
from cardmint_edge.errors import Park, Retry
from cardmint_lab.folders import temporary_folder
from cardmint_lab.system import installed_script
from tests.cloud.kit.images import digest, picture
from tests.cloud.kit.say import say
from tests.edge.kit.agent import ForwardingAgent
from tests.edge.kit.scans import STAMP, scan_of

pytestmark = pytest.mark.system

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with temporary_folder() as name:
        yield name / "cloud"


@pytest.fixture(scope="module")
def broker_port() -> int:
    return free_port()


@contextmanager
def running(folder: Path, broker_port: int, *more: str) -> Iterator[ChildProcess]:
    words = ["up", "--folder", str(folder), "--broker-port", str(broker_port), *more]
    log = folder.parent / "up.log"
    log.unlink(missing_ok=True)
    child = ChildProcess(installed_script(["cardmint-cloud", *words]), log)
    try:
        child.wait_until(lambda: "stations reach the broker" in log.read_text(), timeout_s=90)
        yield child
        os.kill(child.process.pid, signal.SIGTERM)
        assert child.wait(30), "it does not stop"
        assert child.code == 0
    finally:
        child.kill()


def add_station(folder: Path, name: str) -> tuple[str, str]:
    """Add a station by the command, and return its password and its token."""
    command = installed_script(["cardmint-cloud", "add-station", "--folder", str(folder), name])
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "cardmint-edge setup" in done.stdout
    words = done.stdout.split()
    return words[words.index("--broker-password") + 1], words[words.index("--cloud-token") + 1]


def reader_token(folder: Path) -> str:
    """Return a token that reads, made by the command."""
    settings = str(CloudFolder(folder).settings_file)
    command = installed_script(["cardmint-cloud", "token", "--config", settings, "test"])
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def items(folder: Path, token: str) -> int:
    port = CloudFolder(folder).settings.web.port
    address = f"http://127.0.0.1:{port}/api/v1/shop/items"
    try:
        found = httpx.get(address, timeout=5, headers={"authorization": f"Bearer {token}"})
    except httpx.HTTPError:
        return -1
    return len(found.json()["items"]) if found.status_code == 200 else -1


def put_image(folder: Path, token: str, scan: CardScanned) -> None:
    """Upload the image of a scan as a station does."""
    assert scan.image is not None
    url = f"http://127.0.0.1:{CloudFolder(folder).settings.web.port}"
    with closing(CloudHttp(url=url, tenant="shop", token=token)) as cloud:
        cloud.put(WaitingImage(scan.image.sha256, str(scan.scan)), picture())


def children(up: ChildProcess, word: str) -> list[psutil.Process]:
    found = []
    for one in psutil.Process(up.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is none
            if any(Path(part).name == word for part in one.cmdline()):
                found.append(one)
    return found


def test_a_shop_runs_it_and_everything_comes_back(
    folder: Path, broker_port: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    began = time.monotonic()
    with running(folder, broker_port) as up:
        first_s = time.monotonic() - began
        password, station_token = add_station(folder, "left")
        broker = BrokerSettings(port=broker_port, username="shop/left", password=password)
        image = Image(sha256=digest(picture()), bytes=len(picture()), width=63, height=88)
        pictured = scan_of(1, image=image)
        with pytest.raises(Retry, match=r"cloud\.token"):
            put_image(folder, "", pictured)
        with pytest.raises(Park, match="422"):
            put_image(folder, station_token, pictured)
        token = reader_token(folder)
        assert items(folder, "cm_none") == -1
        link = next(word for word in up.log.read_text().split() if "/join/" in word)
        assert httpx.get(link).status_code == 200
        agent = ForwardingAgent(tmp_path, broker)
        try:
            number = 0
            for word in ("work", "serve", "mosquitto", "postgres"):
                number += 1
                agent.outbox.record(pictured if number == 1 else scan_of(number), STAMP)
                wait_for(lambda: agent.queued == 0, "the card is receipted")
                (process,) = children(up, word)
                process.kill()
                wait_for(
                    lambda word=word, old=process.pid: any(  # type: ignore[misc]
                        one.pid != old for one in children(up, word)
                    ),
                    f"{word} runs again",
                )
            number += 1
            agent.outbox.record(scan_of(number), STAMP)
            wait_for(lambda: agent.queued == 0, "the last card is receipted")
            wait_for(lambda: items(folder, token) == number, "the dashboard shows every card")
            put_image(folder, station_token, pictured)
        finally:
            agent.stop()
    # Settings decide: a password that was changed there, and a file of users that is gone.
    (folder / "broker" / "passwords").unlink()
    assert not (folder / "postgres" / "password").exists()
    began = time.monotonic()
    with running(folder, broker_port):
        again_s = time.monotonic() - began
        say(
            request,
            f"`up`: a new folder is ready after {first_s:.1f} s, again after {again_s:.1f} s",
        )
        assert items(folder, token) == number
        second = subprocess.run(
            installed_script(["cardmint-cloud", "up", "--folder", str(folder)]),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert second.returncode == 1
        assert second.stderr.startswith("cardmint-cloud: another `cardmint-cloud up` runs in ")
        saved, settings = tmp_path / "saved", str(CloudFolder(folder).settings_file)
        command = ["cardmint-cloud", "backup", "--config", settings, str(saved)]
        subprocess.run(installed_script(command), check=True, timeout=60)
    restored = folder.with_name("restored")
    cut = folder.with_name("cut.dump")
    cut.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    for backup, why in ((cut, "pg_restore failed"), (None, "start again with `--restore FILE`")):
        with pytest.raises(StopService, match=re.escape(why)):
            Machine(
                CloudFolder(restored),
                address="127.0.0.1",
                broker_port=broker_port,
                say=print,
                restore=backup,
            ).run()
    with running(restored, broker_port, "--restore", str(saved)):
        assert items(restored, token) == number
    again = Machine(
        CloudFolder(restored),
        address="127.0.0.1",
        broker_port=broker_port,
        say=print,
        restore=saved,
    )
    with pytest.raises(StopService, match="restore into a new folder"):
        again.run()


def test_the_folder_keeps_its_secrets_to_itself(tmp_path: Path) -> None:
    cloud = CloudFolder(tmp_path / "cloud", tenant="cards")
    assert cloud.settings.tenant == "cards"
    assert cloud.settings_file.stat().st_mode & 0o077 == 0
    assert cloud.path.stat().st_mode & 0o066 == 0, "nobody else looks in"
    for own in ("logs", "images", "archive", "artifacts"):
        assert (cloud.path / own).stat().st_mode & 0o077 == 0, own
    user, password = cloud.users.add_station("cards", "left")
    assert user == "cards/left"
    assert password not in cloud.users.passwords.read_text()
    assert BrokerUsers(tmp_path / "cloud" / "broker").stations == ["cards/left"]
    before = cloud.settings_file.read_text()
    assert CloudFolder(tmp_path / "cloud").settings_file.read_text() == before


def test_a_folder_of_one_database_user_gets_a_second(tmp_path: Path) -> None:
    cloud = CloudFolder(tmp_path / "cloud", tenant="cards")
    lines = cloud.settings_file.read_text().splitlines(keepends=True)
    owner = next(line for line in lines if line.startswith("database_owner"))
    before = [line for line in lines if not line.startswith("database")]
    before.insert(2, owner.replace("database_owner", "database"))
    cloud.settings_file.write_text("".join(before))
    again = CloudFolder(tmp_path / "cloud").settings
    assert again.database_owner == cloud.settings.database_owner
    service = make_url(again.database)
    assert service.username == "cardmint_service"
    assert service.password not in {None, make_url(again.owner).password}
    assert CloudFolder(tmp_path / "cloud").settings == again
    assert cloud.settings_file.stat().st_mode & 0o077 == 0


def test_a_folder_without_a_master_key_gets_one(tmp_path: Path) -> None:
    cloud = CloudFolder(tmp_path / "cloud")
    keys = tmp_path / "cloud" / "master-keys"
    first = keys.read_text()
    assert keys.stat().st_mode & 0o077 == 0
    assert CloudFolder(tmp_path / "cloud").settings.master_keys == str(keys)
    assert keys.read_text() == first
    lines = cloud.settings_file.read_text().splitlines(keepends=True)
    before = [line for line in lines if not line.startswith(("master_keys", "audit_anchors"))]
    cloud.settings_file.write_text("".join(before))
    keys.unlink()
    again = CloudFolder(tmp_path / "cloud").settings
    assert again.master_keys == str(keys)
    assert again.audit_anchors == str(tmp_path / "cloud" / "audit-anchors.jsonl")
    assert keys.read_text() != first
    assert CloudFolder(tmp_path / "cloud").settings == again


def test_a_tenant_that_disagrees_with_the_folder_is_said(tmp_path: Path) -> None:
    before = CloudFolder(tmp_path / "cloud", tenant="cards").settings_file.read_text()
    with pytest.raises(StopService, match=r"--tenant shop: .* is of the tenant cards"):
        CloudFolder(tmp_path / "cloud", tenant="shop")
    assert CloudFolder(tmp_path / "cloud").settings_file.read_text() == before
    assert CloudFolder(tmp_path / "other").settings.tenant == "shop"


def test_a_copy_of_the_folder_uses_nothing_of_the_original(tmp_path: Path) -> None:
    cloud, copy = CloudFolder(tmp_path / "cloud"), tmp_path / "copy"
    shutil.copytree(cloud.path, copy)
    own = ("images", "archive", "artifacts", "master_keys", "audit_anchors")
    copied = CloudFolder(copy).settings
    assert {Path(getattr(copied, name)).parent for name in own} == {copy}
    absolute = re.sub(
        r'^(images|archive|artifacts|master_keys|audit_anchors) = "',
        rf"\g<0>{cloud.path}/",
        cloud.settings_file.read_text(),
        flags=re.MULTILINE,
    )
    assert absolute.count(f'"{cloud.path}/') == len(own)
    elsewhere = absolute.replace(f'"{cloud.path}/images"', '"/mnt/disk/images"')
    (copy / "cloud.toml").write_text(elsewhere)
    moved = CloudFolder(copy).settings
    assert {Path(getattr(moved, name)).parent for name in own[1:]} == {copy}
    assert moved.images == "/mnt/disk/images", "what somebody put elsewhere stays there"
    assert CloudFolder(copy).settings == moved


def test_data_of_another_postgres_are_refused_with_what_to_do(tmp_path: Path) -> None:
    cloud = CloudFolder(tmp_path / "cloud")
    written = tmp_path / "cloud" / "postgres" / "data" / "PG_VERSION"
    written.parent.mkdir(parents=True)
    written.write_text("12\n")
    with pytest.raises(StopService, match=r"written by Postgres 12.*cardmint-cloud backup"):
        cloud.check_versions()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StopService, match="cannot be made"):
        CloudFolder(tmp_path / "file" / "cloud")


@pytest.mark.parametrize("tenant", ['a"b', "a/b", "", "a\nb = 1"])
def test_a_tenant_that_cannot_be_one_makes_no_folder(tmp_path: Path, tenant: str) -> None:
    with pytest.raises(StopService, match="--tenant"):
        CloudFolder(tmp_path / "cloud", tenant=tenant)
    assert not (tmp_path / "cloud").exists()


@pytest.mark.parametrize("name", ["my cards", 'the "best"', "a\\b", "\u00e9 {x} #1"])
def test_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    cloud = CloudFolder(tmp_path / name)
    assert cloud.settings.images == str(tmp_path / name / "images")
    with pytest.raises(StopService, match="no folder"):
        CloudFolder(tmp_path / "a\nb")


def test_stations_that_are_added_at_once_all_stay(tmp_path: Path) -> None:
    users = CloudFolder(tmp_path).users
    names = [f"station{number}" for number in range(8)]
    with ProcessPoolExecutor(8) as pool:
        list(pool.map(users.add_station, ["shop"] * 8, names))
    assert users.stations == [f"shop/{name}" for name in names]


def test_no_part_starts_beside_a_stranger_at_its_port(tmp_path: Path) -> None:
    cloud, said = CloudFolder(tmp_path), list[str]()
    with socket.create_server(("127.0.0.1", cloud.settings.web.port)):
        machine = Machine(cloud, address="127.0.0.1", broker_port=free_port(), say=said.append)
        with pytest.raises(StopService, match=r"taken by another program.*web\.port"):
            machine.run()
    assert said == []


def test_a_station_is_added_to_a_cloud_that_runs_only(tmp_path: Path) -> None:
    command = installed_script(["cardmint-cloud", "add-station", "--folder", str(tmp_path), "left"])
    for because in ("there is no cloud in", "the cloud must run"):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, because in done.stderr) == (1, True), done.stderr
        cloud = CloudFolder(tmp_path)
    assert cloud.users.stations == []


class EndingPart:
    """A part that ends as often as it is started."""

    def __init__(self) -> None:
        self.starts = 0
        self.fails = self.lasts = False
        self.error: Exception = StopService("no room")
        self.running = False

    def start(self) -> None:
        self.starts += 1
        if self.fails:
            raise self.error
        self.running = self.lasts

    def stop(self) -> None: ...


def test_pauses_grow_while_a_part_ends_again_and_again() -> None:
    said: list[str] = []
    part = EndingPart()
    watched = SupervisedPart(name="the worker", part=part, started_at=0.0)
    for tenth in range(600):
        watched.look_after(tenth / 10, said.append)
    assert 5 <= part.starts <= 8
    part.fails = True
    for tenth in range(600, 1200):
        watched.look_after(tenth / 10, said.append)
    assert "the worker does not start: no room" in said
    part.error = OSError(errno.ENOSPC, "No space left on device")
    for tenth in range(1200, 1800):
        watched.look_after(tenth / 10, said.append)
    assert "the worker does not start: [Errno 28] No space left on device" in said
    part.fails, part.lasts = False, True
    for second in range(180, 260):
        watched.look_after(second, said.append)
    assert said[-1] == "the worker runs again"
    part.running = False
    watched.look_after(500.0, said.append)
    assert said[-1] == "the worker has ended; it is started again in 0.5 s"
