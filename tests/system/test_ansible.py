"""The station's role is applied to a folder, twice.

The second time nothing changes, and the program runs.
"""

import getpass
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cardmint_edge.settings import load

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def apply(prefix: Path, wheels: Path, pack: Path, **more: str) -> subprocess.CompletedProcess[str]:
    variables = {
        "station_tenant": "shop",
        "station_prefix": str(prefix),
        "station_user": getpass.getuser(),
        "station_wheels": str(wheels),
        "station_requirements": str(ROOT / "edge" / "requirements.txt"),
        "station_pack": str(pack),
        "station_python": sys.executable,
        "ansible_python_interpreter": sys.executable,
        **more,
    }
    inventory = wheels.parent / "inventory.ini"
    inventory.write_text("[stations]\ntable-1\n")
    command = [
        *(
            str(BIN / "ansible-playbook"),
            "-i",
            str(inventory),
            "-c",
            "local",
            "--skip-tags",
            "system",
        ),
        *("-e", json.dumps(variables), str(ROOT / "ansible" / "station.yml")),
    ]
    environment = {
        **os.environ,
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=280
    )


def said(prefix: Path, program: str, *words: str) -> str:
    command = [str(prefix / "venv" / "bin" / program), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_the_role_installs_a_station_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    wheels, pack, prefix = tmp_path / "wheels", tmp_path / "pack.sqlite", tmp_path / "cardmint"
    pack.write_bytes(b"a stand-in: the role only copies it")
    build = [
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(wheels),
        "./shared",
        "./edge",
    ]
    subprocess.run([sys.executable, "-m", *build], check=True, cwd=ROOT, timeout=120)
    authority = tmp_path / "authority.pem"
    authority.write_text("a stand-in too")
    login = {
        "station_broker_tls": "true",
        "station_broker_ca": str(authority),
        "station_broker_password": 'a "word"',
    }
    first = apply(prefix, wheels, pack, **login)
    assert first.returncode == 0, first.stdout + first.stderr
    second = apply(prefix, wheels, pack, **login)
    assert "changed=0" in second.stdout, second.stdout + second.stderr
    broker = load(prefix / "station.toml", {}).broker
    assert (broker.tls, broker.ca_file) == (True, prefix / "broker-ca.pem")
    assert (broker.username, broker.password) == ("shop/table-1", 'a "word"')
    assert "version" in said(prefix, "cardmint-edge", "--version")
    installed = said(prefix, "pip", "list")
    assert not {"sqlalchemy", "asyncpg", "alembic", "cardmint-cloud"} & {
        x.split()[0] for x in installed.splitlines()
    }


def test_a_wrong_input_is_named(tmp_path: Path) -> None:
    done = apply(tmp_path / "cardmint", tmp_path, tmp_path, station_broker_port="many")
    assert done.returncode != 0
    assert "station_broker_port" in done.stdout
