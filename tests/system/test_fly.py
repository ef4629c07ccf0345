"""`fly.toml` and the broker's: every key is Fly.io's, every command and setting is ours.

Fly.io publishes no schema; the keys are those of its reference (`fly.toml`, August 2026).
"""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from cardmint_cloud import settings
from cardmint_cloud.cli import cli
from cardmint_cloud.web.guards import LOOPBACK

ROOT = Path(__file__).parents[2]
FILES = {"cloud": ROOT / "fly.toml", "broker": ROOT / "cloud" / "broker" / "fly.toml"}

_CHECK = {
    *("grace_period", "interval", "timeout", "method", "path", "protocol", "headers"),
    *("tls_server_name", "tls_skip_verify"),
}
_AUTO = {"auto_stop_machines", "auto_start_machines", "min_machines_running"}
_CONCURRENCY = {"type", "soft_limit", "hard_limit"}
KEYS: dict[str, set[str]] = {
    "": {
        *("app", "primary_region", "kill_signal", "kill_timeout", "console_command"),
        *("build", "deploy", "env", "processes", "http_service", "services", "checks", "mounts"),
        *("vm", "restart", "metrics", "files", "swap_size_mb"),
    },
    "build": {"builder", "image", "dockerfile", "ignorefile", "build-target", "args"},
    "deploy": {
        *("release_command", "release_command_timeout", "release_command_vm", "strategy"),
        *("max_unavailable", "wait_timeout"),
    },
    "http_service": {
        *("processes", "internal_port", "force_https", "concurrency", "checks"),
        *("machine_checks", "http_options", "tls_options"),
        *_AUTO,
    },
    "http_service.concurrency": _CONCURRENCY,
    "http_service.checks": _CHECK,
    "services": {
        *("processes", "internal_port", "protocol", "ports", "concurrency", "tcp_checks"),
        *("http_checks", "machine_checks"),
        *_AUTO,
    },
    "services.ports": {
        *("port", "start_port", "end_port", "handlers", "force_https", "tls_options"),
        "proxy_proto_options",
    },
    "services.concurrency": _CONCURRENCY,
    "services.tcp_checks": {"interval", "timeout", "grace_period"},
    "mounts": {
        *("source", "destination", "processes", "initial_size", "snapshot_retention"),
        *("scheduled_snapshots", "auto_extend_size_threshold", "auto_extend_size_increment"),
        "auto_extend_size_limit",
    },
    "vm": {
        *("size", "memory", "cpus", "cpu_kind", "kernel_args", "persist_rootfs"),
        *("host_dedication_id", "processes"),
    },
    "restart": {"policy", "retries", "processes"},
    "metrics": {"port", "path", "processes"},
    "files": {"guest_path", "raw_value", "local_path", "secret_name", "processes"},
}
_FREE = {"env", "processes", "headers"}
"""Tables whose keys are names of our own."""

_DURATIONS = {
    *("kill_timeout", "release_command_timeout", "wait_timeout", "interval", "timeout"),
    "grace_period",
}


def read(name: str) -> dict[str, Any]:
    return tomllib.loads(FILES[name].read_text())


def tables(value: object, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every table below a value with its path, tables in lists as well."""
    if isinstance(value, list):
        for one in value:
            yield from tables(one, path)
    elif isinstance(value, dict):
        if path.rpartition(".")[2] in _FREE:
            return
        yield path, value
        for key, inner in value.items():
            yield from tables(inner, f"{path}.{key}".strip("."))


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_one_of_flys(name: str) -> None:
    for path, table in tables(read(name)):
        assert table.keys() <= KEYS[path], f"[{path}]"
        for key, value in table.items():
            if key in _DURATIONS:
                assert re.fullmatch(r"\d+(s|m)", value), f"{path}.{key}: a unit, not milliseconds"


@pytest.mark.parametrize("name", FILES)
def test_every_part_names_processes_that_there_are(name: str) -> None:
    fly = read(name)
    groups = fly["processes"].keys()
    for path, table in tables(fly):
        assert set(table.get("processes", ())) <= groups or path == "", path
    assert {group for one in fly["restart"] for group in one["processes"]} == groups
    assert all(one["policy"] == "always" for one in fly["restart"]), "checks restart nothing"


@pytest.mark.parametrize("name", FILES)
def test_blue_green_needs_a_check_and_machines_without_a_volume(name: str) -> None:
    fly = read(name)
    assert (fly["deploy"]["strategy"] == "bluegreen") == ("mounts" not in fly)
    assert fly["kill_signal"] == "SIGTERM"
    assert fly.get("http_service", {}).get("checks") or fly["services"][0]["tcp_checks"]


def test_every_command_is_one_of_the_programs() -> None:
    fly = read("cloud")
    for line in (fly["deploy"]["release_command"], *fly["processes"].values()):
        program, *words = shlex.split(line)
        assert program == "cardmint-cloud"
        command = cli.commands[words[0]]
        command.make_context(words[0], words[1:])  # raises at an option that there is not


def test_every_variable_is_a_setting_and_together_they_are_right() -> None:
    environment = read("cloud")["env"]
    assert settings.faults(None, environment) == []
    loaded = settings.load(None, environment)
    assert loaded.images.startswith("s3://")
    assert (loaded.web.host, loaded.web.accounts, loaded.web.secure) == ("0.0.0.0", True, True)
    assert loaded.web.client_header == "fly-client-ip"
    secrets = {"password", "secret", "key"}
    assert not [name for name in environment if set(name.lower().split("_")) & secrets]


def test_the_checks_reach_what_the_process_serves() -> None:
    fly, loaded = read("cloud"), settings.load(None, read("cloud")["env"])
    service = fly["http_service"]
    assert service["internal_port"] == loaded.web.port
    assert fly["metrics"][0]["port"] == loaded.web.metrics_port
    assert all(check["headers"]["Host"] in LOOPBACK for check in service["checks"])
    files = [one["guest_path"] for one in fly["files"]]
    assert files == [str(loaded.broker.ca_file)]


def test_the_broker_terminates_tls_itself_and_has_the_roles_settings() -> None:
    fly, folder = read("broker"), FILES["broker"].parent
    assert [port.get("handlers") for port in fly["services"][0]["ports"]] == [None]
    template = ROOT / "ansible" / "roles" / "broker" / "templates" / "cardmint.conf.j2"
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    rendered = environment.from_string(template.read_text()).render(
        broker_folder="/etc/mosquitto",
        broker_address="0.0.0.0",
        broker_port=8883,
        broker_station_login="certificate",
        broker_cloud_address="::",  # Fly.io's private network has IPv6 only
        broker_cloud_port=int(read("cloud")["env"]["CARDMINT_CLOUD_BROKER_PORT"]),
    )
    written = (folder / "mosquitto.conf").read_text()
    assert written.rstrip().endswith(rendered.partition("\n")[2].rstrip())
    given = {Path(one["guest_path"]).name for one in fly["files"]}
    used = set(re.findall(r"/etc/mosquitto/cardmint/(\S+)", written))
    names = re.search(r"^for name in (.*); do$", (folder / "start").read_text(), re.MULTILINE)
    assert names is not None
    named = set(names[1].split())
    assert given == used == named


def test_composes_variables_are_settings_and_its_commands_are_ours() -> None:
    compose = yaml.safe_load((ROOT / "cloud" / "compose" / "compose.yml").read_text())
    ours = [one for one in compose["services"].values() if "CARDMINT" in str(one)]
    assert len(ours) == 3
    given = {"SERVICE_PASSWORD": "a", "DATABASE_PASSWORD": "b", "BROKER_PASSWORD": "c"}
    example = (ROOT / "cloud" / "compose" / "example.env").read_text()
    for one in ours:
        environment = {
            name: re.sub(
                r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)\}",
                lambda found: given.get(found[1], found[2] or ""),
                str(value),
            )
            for name, value in one["environment"].items()
        }
        assert settings.faults(None, environment) == []
        program, word = one["command"]
        assert program == "cardmint-cloud"
        cli.commands[word].make_context(word, [])
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "cloud" / "compose" / "compose.yml").read_text()))
    assert used - {"IMAGE"} == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def test_the_guide_sets_every_secret_that_the_files_leave_open() -> None:
    guide = (ROOT / "docs" / "deploy-fly.md").read_text()
    for name in FILES:
        for one in read(name)["files"]:
            assert f"{one['secret_name']}=" in guide
    named = set(re.findall(r"\b(CARDMINT_[A-Z0-9_]+)=", guide))
    environment = dict.fromkeys(named - {"CARDMINT_MASTER_KEYS"}, "x")
    environment |= {
        name: "postgresql://db/x" for name in environment if name.startswith("CARDMINT_CLOUD_DATA")
    }
    assert settings.faults(None, environment) == []
    comment = FILES["cloud"].read_text().partition("app =")[0]
    for name in named:
        assert name in comment or name.removeprefix("CARDMINT_CLOUD") in comment, name
