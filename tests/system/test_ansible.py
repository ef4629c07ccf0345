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
import yaml

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
    command = [str(prefix / "current" / "venv" / "bin" / program), *words]
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
    broker = load(prefix / "current" / "station.toml", {}).broker
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


PLAYS = sorted(path.name for path in (ROOT / "ansible").glob("*.yml") if path.name != "example.yml")
ROLES = sorted(path for path in (ROOT / "ansible" / "roles").iterdir())


@pytest.mark.parametrize("play", PLAYS)
def test_a_play_is_one_with_the_example_of_an_inventory(play: str) -> None:
    inventory = ROOT / "ansible" / "example.yml"
    done = subprocess.run(
        [
            *(str(BIN / "ansible-playbook"), "--syntax-check", "-i", str(inventory)),
            str(ROOT / "ansible" / play),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_every_input_of_a_role_is_declared_with_its_default(role: Path) -> None:
    declared = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())
    options = declared["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    assert {name: one["default"] for name, one in options.items() if "default" in one} == {
        name: value for name, value in defaults.items() if "default" in options.get(name, {})
    }
    assert defaults.keys() <= options.keys()
    assert all(name.startswith(f"{role.name}_") for name in options)
    for name in options:
        if name.endswith(("_password", "_token")):
            assert options[name].get("no_log"), name


def test_what_the_example_sets_are_inputs_of_the_roles() -> None:
    inventory = yaml.safe_load((ROOT / "ansible" / "example.yml").read_text())["all"]
    known = set()
    for role in ROLES:
        declared = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())
        known |= declared["argument_specs"]["main"]["options"].keys()
    given = {*inventory["vars"]}.union(*(one["vars"] for one in inventory["children"].values()))
    assert given <= known
