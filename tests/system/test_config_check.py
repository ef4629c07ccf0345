"""`config check` of both programs: what is in effect, no secret, a line for each fault."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cardmint_cloud.cli import cli as cloud
from cardmint_edge.cli import cli as edge

STATION = """
[station]
tenant = "shop"
name = "left"
data = "data"
page_pin = "471147"
[recognition]
pack = "pack.sqlite"
[camera]
type = "replay"
path = "cards"
[broker]
username = "shop/left"
password = "correct horse"
"""


def check(program: object, file: Path, *words: str, **environment: str) -> Result:
    return CliRunner().invoke(
        program,  # type: ignore[arg-type]
        ["config", "check", "--config", str(file), *words],
        env=environment,
    )


def test_a_stations_settings_are_printed_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(STATION)
    (tmp_path / "pack.sqlite").touch()
    done = check(edge, file, CARDMINT_EDGE_BROKER_PORT="8883")
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert {"broker.port = 8883", "broker.password = (set)", "station.page_pin = (set)"} <= {*lines}
    assert f'recognition.pack = "{tmp_path}/pack.sqlite"' in lines
    assert "correct horse" not in done.output
    assert "471147" not in done.output


def test_every_fault_of_a_stations_settings_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(STATION.replace('"left"', '"left hand"'))
    assert "station.name" in check(edge, file, "--no-files").output
    file.write_text(STATION)
    assert "recognition.pack" in check(edge, file).output
    assert check(edge, file, "--no-files").exit_code == 0
    file.write_text(f"{STATION}port = 0\ncolour = 1\n")
    done = check(edge, file)
    assert done.exit_code == 1
    assert [line.split(": ")[2] for line in done.output.splitlines()] == [
        "broker.port",
        "broker.colour",
    ]


def test_the_clouds_settings_are_printed_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('database = "postgresql://me:horse@db/shop"\n[s3]\nsecret = "battery"\n')
    done = check(cloud, file)
    assert done.exit_code == 0, done.output
    assert 'database = "postgresql://me:***@db/shop"' in done.output
    assert "s3.secret = (set)" in done.output
    assert "horse" not in done.output
    assert "battery" not in done.output


def test_every_fault_of_the_clouds_settings_is_a_line(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('tenant = "A shop"\nwares = "x"\n[web]\nport = "many"\n')
    done = check(cloud, file)
    assert done.exit_code == 1
    assert sorted(line.split(": ")[2] for line in done.output.splitlines()) == [
        *("tenant", "wares", "web.port"),
    ]
    file.write_text(
        'database = "mysql://db"\nmaster_keys = "keys"\n[broker]\ntls = true\nca_file = "ca.pem"\n'
    )
    done = check(cloud, file, CARDMINT_POKEMONTCG_KEY="a b")
    assert (done.exit_code, len(done.output.splitlines())) == (1, 4)


@pytest.mark.parametrize("program", [cloud, edge], ids=["cloud", "edge"])
def test_a_file_that_cannot_be_read_is_one_line(program: object, tmp_path: Path) -> None:
    done = check(program, tmp_path / "none.toml")
    assert done.exit_code == 1
    assert "none.toml" in str(done.exception)
