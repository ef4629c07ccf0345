"""The plays, really applied: to a Debian that boots with systemd as PID 1 in its own namespaces.

`make boot-test` runs it, as root: it takes minutes and fetches packages. CARDMINT_BOX is the folder
in which Debian is kept between runs; CARDMINT_BOX_BINDS names more paths of this machine, such as
those of a local package index, that the box sees, with colons between them.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
import yaml

from cardmint_cloud.local.postgres import LocalPostgres
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_lab.folders import temporary_folder
from cardmint_lab.simulator import SimulatorCamera
from cardmint_lab.system import installed_script

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("CARDMINT_BOX", "")
BINDS = [one for one in os.environ.get("CARDMINT_BOX_BINDS", "").split(":") if one]
PACKAGES = (
    "ca-certificates,dbus,fake-hwclock,iproute2,mosquitto,openssh-server,procps,python3,python3-apt,"
    "python3-venv,sudo,systemd,systemd-sysv,systemd-timesyncd,unattended-upgrades"
)
PASSWORD = "correct horse battery"
TOKEN = "cm_" + "secretsecretsecretsecret"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not BASE, reason="CARDMINT_BOX is not set; `make boot-test` sets it"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes the box's namespaces"),
]

# Clock, network and kernel are this machine's, and the box must change none of them: it may not set
# the time (fake-hwclock does so at each start), change interfaces or load modules, and
# the kernel's settings are read-only.
BOOT = r"""
set -e
mount --make-rprivate /
mount --bind "$R" "$R"
mount -t proc proc "$R/proc"
mount --bind "$R/proc/sys" "$R/proc/sys"
mount -o remount,bind,ro "$R/proc/sys"
mount -t sysfs -o ro sysfs "$R/sys"
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
for at in run tmp dev; do mount -t tmpfs tmpfs "$R/$at"; done
for one in null zero full random urandom tty; do
  touch "$R/dev/$one"
  mount --bind "/dev/$one" "$R/dev/$one"
done
mkdir "$R/dev/pts" "$R/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$R/dev/pts"
ln -s pts/ptmx "$R/dev/ptmx"
for one in $BINDS; do
  if [ -d "$one" ]; then mkdir -p "$R$one"; else mkdir -p "$(dirname "$R$one")"; touch "$R$one"; fi
  mount --rbind "$one" "$R$one"
  mount -o remount,bind,ro "$R$one"
done
hostname box
cd "$R"
pivot_root . mnt
umount -l /mnt
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  setpriv --bounding-set=-sys_time,-net_admin,-sys_module,-sys_rawio /sbin/init --log-target=console
"""


class Box:
    """A Debian with SSH on loopback that can lose its power."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(["cp", "-a", "--reflink=auto", f"{BASE}/.", str(self.root)], check=True)
        # mosquitto's own settings would take a port of this machine.
        for words in (("enable", "ssh"), ("disable", "mosquitto")):
            command = ["chroot", str(self.root), "systemctl", *words]
            subprocess.run(command, check=True, capture_output=True)
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        ssh = self.root / "root" / ".ssh"
        ssh.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(f"{key}.pub", ssh / "authorized_keys")
        settings = self.root / "etc" / "ssh" / "sshd_config.d"
        settings.mkdir(exist_ok=True)
        (settings / "05-test.conf").write_text(f"Port {self.port}\nListenAddress 127.0.0.1\n")

    def boot(self) -> None:
        with (self.folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup"),
                    *("--fork", "--kill-child", "bash", "-c", BOOT),
                ],
                env={**os.environ, "R": str(self.root), "BINDS": " ".join(BINDS)},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        wait_for(lambda: accepts_connections(self.port), "the box to boot")

    def cut_power(self) -> None:
        """Kill everything in the box at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        wait_for(lambda: not accepts_connections(self.port), "the box to be dead")

    def inside(self, *words: str, check: bool = True) -> str:
        """Run a command in the box."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        init = children.read_text().split()[0]
        command = ["nsenter", "-t", init, "-p", "-m", "-u", "-i", "-C", "env", "-i"]
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            [*command, path, *words], capture_output=True, text=True, check=False, timeout=120
        )
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout.strip()

    def station(self, name: str) -> str:
        return self.inside("systemctl", "show", "--value", f"--property={name}", "cardmint-station")

    def release(self) -> str:
        return self.inside("readlink", "/opt/cardmint/current").removeprefix("releases/")

    def outbox(self) -> dict[str, Any]:
        here = "/opt/cardmint/current"
        said = self.inside(
            f"{here}/venv/bin/cardmint-edge",
            *("outbox", "look", "--json", "--config", f"{here}/station.toml"),
        )
        found: dict[str, Any] = json.loads(said)
        return found


def wait_for(ready: Callable[[], bool], what: str, timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.3)


class Controller:
    """The machine that applies the plays, with an inventory of one box for everything."""

    def __init__(self, folder: Path, box: Box) -> None:
        self.folder, self.box = folder, box
        self.port, self.cloud_port, page = free_port(), free_port(), free_port()
        passwords = folder / "cloud.passwords"
        passwords.touch(0o600)
        subprocess.run(["mosquitto_passwd", "-b", passwords, "cloud", PASSWORD], check=True)
        self.wheels = folder / "wheels"
        shutil.copytree(ROOT / "build" / "wheels", self.wheels)
        inventory = yaml.safe_load((ROOT / "ansible" / "example.yml").read_text())
        hosts = inventory["all"]["children"]
        reach = {
            "ansible_host": "127.0.0.1",
            "ansible_port": box.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(box.folder / "key"),
            "ansible_ssh_common_args": (
                "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
                f" -o ControlPath={folder}/ssh"
            ),
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        hosts["broker"]["hosts"] = {"hub": reach}
        hosts["stations"]["hosts"] = {"table-1": reach}
        inventory["all"]["vars"] |= {
            "pki_broker_hosts": ["localhost", "127.0.0.1"],
            "pki_program": str(Path(sys.executable).with_name("cardmint-cloud")),
        }
        hosts["broker"]["vars"] |= {
            "broker_address": "127.0.0.1",
            "broker_port": self.port,
            "broker_cloud_address": "127.0.0.1",
            "broker_cloud_port": self.cloud_port,
        }
        hosts["stations"]["vars"] |= {
            "station_wheels": str(self.wheels),
            "station_requirements": str(ROOT / "edge" / "requirements.txt"),
            "station_pack": str(ROOT / "build" / "fictional" / "pack.sqlite"),
            "station_camera": {"type": "replay", "path": "incoming", "loop": True},
            "station_broker_host": "localhost",
            "station_broker_port": self.port,
            "station_cloud_url": "",
            "station_cloud_token": TOKEN,
            "station_page_port": page,
            "station_confirm_s": 4,
            "station_confirm_tries": 4,
        }
        self.inventory = folder / "inventory.yml"
        self.inventory.write_text(yaml.safe_dump(inventory))

    def play(self, playbook: str, *more: str, **variables: object) -> tuple[int, str]:
        command = [
            *(str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.inventory)),
            *("-v", "--diff", *more, "-e", json.dumps(variables)),
            str(ROOT / "ansible" / playbook),
        ]
        environment = {**os.environ, "ANSIBLE_NOCOWS": "1", "LC_ALL": "C.UTF-8"}
        started = time.monotonic()
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, timeout=900
        )
        said = done.stdout + done.stderr
        print(f"{playbook}: code {done.returncode}, {time.monotonic() - started:.0f} s")
        for secret in (TOKEN, PASSWORD, "PRIVATE KEY"):
            assert secret not in said, f"{playbook} prints a secret"
        return done.returncode, said


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    if not (Path(BASE) / "sbin" / "init").exists():
        shutil.rmtree(BASE, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", BASE]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=900)
    with temporary_folder() as folder:
        made = Box(folder)
        made.boot()
        try:
            yield made
        finally:
            made.cut_power()


@pytest.fixture(scope="module")
def controller(box: Box) -> Iterator[Controller]:
    with temporary_folder() as folder:
        yield Controller(folder, box)


@pytest.fixture(scope="module")
def worker(controller: Controller) -> Iterator[ChildProcess]:
    """The cloud, which reaches the box's broker as its inventory says."""
    folder = controller.folder / "cloud"
    folder.mkdir()
    folder.chmod(0o755)
    controller.folder.chmod(0o755)
    postgres = LocalPostgres(folder / "postgres").start()
    environment = {
        **postgres.environment,
        "CARDMINT_CLOUD_TENANT": "shop",
        "CARDMINT_CLOUD_BROKER_HOST": "localhost",
        "CARDMINT_CLOUD_BROKER_PORT": str(controller.cloud_port),
        "CARDMINT_CLOUD_BROKER_TLS": "true",
        "CARDMINT_CLOUD_BROKER_CA_FILE": str(controller.folder / "pki" / "broker-ca.pem"),
        "CARDMINT_CLOUD_BROKER_USERNAME": "cloud",
        "CARDMINT_CLOUD_BROKER_PASSWORD": PASSWORD,
        "CARDMINT_CLOUD_PRICES_ORDER": "tcgdex",
        "CARDMINT_CLOUD_PRICES_TCGDEX_URL": "http://127.0.0.1:9",
    }
    subprocess.run(
        installed_script(["cardmint-cloud", "migrate"]),
        env={**os.environ, **environment},
        check=True,
        timeout=120,
    )
    child = ChildProcess(
        installed_script(["cardmint-cloud", "work"]), folder / "work.log", env=environment
    )
    try:
        yield child
    finally:
        child.stop()
        postgres.drop()


def broken_wheel(controller: Controller) -> None:
    """Make the edge's wheel one whose program ends at once."""
    [wheel] = controller.wheels.glob("cardmint_edge-*.whl")
    draft = wheel.with_suffix(".new")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(draft, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "cardmint_edge/app.py":
                text = b'raise SystemExit("a release that does not work")\n'
            if not name.endswith("RECORD"):
                new.writestr(name, text)
            else:
                lines = text.decode().splitlines()
                kept = [line for line in lines if not line.startswith("cardmint_edge/app.py,")]
                new.writestr(name, "\n".join([*kept, "cardmint_edge/app.py,,", ""]))
    draft.replace(wheel)


def test_a_wrong_variable_stops_before_anything_is_touched(controller: Controller) -> None:
    for name, value in (
        ("station_broker_port", 70000),
        ("station_tenant", "A shop"),
        ("station_pack", "/nowhere/pack.sqlite"),
        ("station_camera", "video"),
    ):
        code, said = controller.play("station.yml", **{name: value})
        assert code != 0, name
        assert "changed=0" in said, said[-2000:]
    assert "cardmint" not in controller.box.inside("ls", "/opt")


def test_one_play_makes_a_station_that_scans_to_its_broker(
    controller: Controller, request: pytest.FixtureRequest
) -> None:
    box = controller.box
    code, said = controller.play("site.yml")
    journal = box.inside("journalctl", "-u", "cardmint-station", "-n", "40", check=False)
    assert code == 0, said[-3000:] + journal
    worker = request.getfixturevalue("worker")
    camera = SimulatorCamera(count=4)
    incoming = box.root / "opt" / "cardmint" / "data" / "incoming"
    while (shot := camera.next(0)) is not None:
        cv2.imwrite(str(incoming / f"{shot.origin}.jpg"), shot.frame)
    box.inside("systemctl", "restart", "cardmint-station")
    wait_for(lambda: box.outbox()["acknowledged"] > 5, "receipts")
    assert worker.running
    print(box.inside("systemd-analyze", "security", "cardmint-station").splitlines()[-1])


def test_a_second_run_changes_nothing(controller: Controller) -> None:
    code, said = controller.play("site.yml")
    assert code == 0, said[-3000:]
    assert said.count("changed=0") == 3, said[-3000:]


def test_a_killed_station_comes_back_and_goes_on(controller: Controller) -> None:
    box = controller.box
    before = box.outbox()["acknowledged"]
    main = box.station("MainPID")
    box.inside("systemctl", "kill", "--signal=SIGKILL", "cardmint-station")
    wait_for(lambda: box.station("MainPID") not in {main, "0"}, "another process")
    wait_for(lambda: box.outbox()["acknowledged"] > before, "more receipts")


def test_certificates_are_rotated(controller: Controller) -> None:
    box = controller.box
    file = "/opt/cardmint/station.pem"
    before, counted = box.inside("cat", file), box.outbox()["acknowledged"]
    code, said = controller.play("rotate-certs.yml", pki_anew=True)
    assert code == 0, said[-3000:]
    assert box.inside("cat", file) != before
    wait_for(lambda: box.outbox()["acknowledged"] > counted, "receipts with the new certificate")


def test_a_release_that_does_not_work_is_taken_back(controller: Controller) -> None:
    box = controller.box
    good, counted = box.release(), box.outbox()["acknowledged"]
    kept = controller.folder / "good"
    shutil.copytree(controller.wheels, kept)
    broken_wheel(controller)
    code, said = controller.play("upgrade.yml")
    assert code != 0
    assert "went back" in said, said[-3000:]
    assert box.release() == good
    wait_for(lambda: box.outbox()["acknowledged"] > counted, "receipts with the good release")
    releases = box.inside("ls", "/opt/cardmint/releases").split()
    assert len(releases) == 2
    [bad] = set(releases) - {good}
    for step in ("noted", "changed", "restarted"):
        before = box.outbox()["acknowledged"]
        box.inside("sh", "-c", f"echo '{good} 0' > /opt/cardmint/pending")
        if step != "noted":
            box.inside("ln", "-sfn", f"releases/{bad}", "/opt/cardmint/current")
        if step == "restarted":
            box.inside("systemctl", "restart", "--no-block", "cardmint-station")
        box.cut_power()
        box.boot()
        wait_for(lambda: box.release() == good, f"the good release after {step}")
        wait_for(
            lambda: box.inside("ls", "/opt/cardmint").count("pending") == 0, f"an end after {step}"
        )
        wait_for(lambda: box.outbox()["acknowledged"] > before, f"receipts after {step}")  # noqa: B023
    shutil.rmtree(controller.wheels)
    kept.rename(controller.wheels)


def test_a_retired_station_is_shut_out(controller: Controller) -> None:
    code, said = controller.play("retire.yml")
    assert code != 0
    assert "names a station" in said
    box = controller.box
    code, said = controller.play(
        "retire.yml", retire="table-1", retire_anyway=True, pki_stations=["table-2"]
    )
    assert code == 0, said[-3000:]
    assert box.station("ActiveState") == "inactive"
    rules = box.inside("cat", "/etc/mosquitto/cardmint/rules.acl")
    assert "shop/table-1" not in rules
    assert "shop/table-2" in rules
