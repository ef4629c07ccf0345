"""Settings: each is documented, and each mistake names its key."""

import re
from pathlib import Path

import msgspec
import pytest

from cardmint_contracts.settings import BrokerSettings
from cardmint_edge.errors import Stop
from cardmint_edge.settings import (
    EdgeSettings,
    FolderCameraSettings,
    ReplayCameraSettings,
    TetheredCameraSettings,
    VideoCameraSettings,
    load,
)

GOOD = """
[station]
tenant = "shop"
name = "left"
data = "data"

[recognition]
pack = "/packs/cards.sqlite"

[camera]
type = "folder"
path = "shots"
"""
DOCUMENT = Path(__file__).parents[2] / "docs" / "settings-edge.md"


def write(folder: Path, text: str) -> Path:
    path = folder / "station.toml"
    path.write_text(text)
    return path


def test_paths_count_from_the_file_and_the_rest_has_defaults(tmp_path: Path) -> None:
    settings = load(write(tmp_path, GOOD), {})
    assert settings.station.data == tmp_path / "data"
    assert settings.recognition.pack == Path("/packs/cards.sqlite")
    assert settings.camera == FolderCameraSettings(path=tmp_path / "shots")
    assert settings.broker == BrokerSettings()


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ('type = "folder"\npath = "in"', FolderCameraSettings(path=Path("in"))),
        (
            'type = "replay"\npath = "in"\nloop = true',
            ReplayCameraSettings(path=Path("in"), loop=True),
        ),
    ],
)
def test_other_cameras(
    tmp_path: Path, camera: str, expected: FolderCameraSettings | ReplayCameraSettings
) -> None:
    text = re.sub('type = "folder"\npath = "shots"', camera, GOOD)
    assert load(write(tmp_path, text), {}).camera == msgspec.structs.replace(
        expected, path=tmp_path / "in"
    )


def test_the_environment_overrides(tmp_path: Path) -> None:
    environment = {
        "CARDMINT_EDGE_BROKER_PORT": "8883",
        "CARDMINT_EDGE_BROKER_TLS": "true",
        "CARDMINT_EDGE_BROKER_CA_FILE": "ca.pem",
        "CARDMINT_EDGE_STATION_NAME": "right",
        "CARDMINT_EDGE_CAMERA_SETTLE_S": "1.5",
        "HOME": "/root",
    }
    settings = load(write(tmp_path, GOOD), environment)
    assert settings.broker == BrokerSettings(port=8883, tls=True, ca_file=tmp_path / "ca.pem")
    assert settings.station.name == "right"
    assert settings.camera == FolderCameraSettings(path=tmp_path / "shots", settle_s=1.5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("name =", "nam ="), "station.nam: there is no such setting"),
        (('"left"', '"Left Hand"'), "station.name: 'Left Hand' is no name"),
        (('"shop"', '"feed"'), "station.tenant: 'feed' is no name"),
        (
            ('path = "shots"', 'path = "shots"\nsettle_s = -1'),
            "camera.settle_s: Expected `float` >= 0",
        ),
        (('path = "shots"', 'path = "shots"\nsettle_s = "1"'), "camera.settle_s: Expected `float"),
        (
            ('path = "shots"', 'path = "shots"\ncards = 40'),
            "camera.cards: there is no such setting",
        ),
        (("folder", "telescope"), "camera.type: Invalid value 'telescope'"),
        (
            ("folder", "simulator"),
            "camera.type: the simulated camera is `cardmint-lab station run`",
        ),
        (("[recognition]", "[recognise]"), "recognise: there is no such setting"),
        (('data = "data"', ""), "station: Object missing required field `data`"),
        (('data = "data"', "data = 5"), "station.data: expected a path"),
        (("[station]", "[station"), "is not TOML"),
        (
            ('data = "data"', 'data = "data"\npage_host = "0.0.0.0"'),
            "station.page_host: other machines reach the page only with a PIN",
        ),
        (
            ("[camera]", '[cloud]\nurl = "cloud"\n[camera]'),
            "cloud.url: Expected `str` matching regex",
        ),
        (("[camera]", "[broker]\nport = 0\n[camera]"), "broker.port: Expected `int` >= 1"),
        (
            ("[camera]", '[broker]\nca_file = "ca.pem"\n[camera]'),
            "broker: certificates are set, but tls is false",
        ),
    ],
)
def test_a_mistake_names_its_key(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(Stop, match=re.escape(says)) as caught:
        load(write(tmp_path, GOOD.replace(*change, 1)), {})
    assert "station.toml" in str(caught.value)


@pytest.mark.parametrize(
    "variable", ["CARDMINT_EDGE_BROKER", "CARDMINT_EDGE_ORACLE_PORT", "CARDMINT_EDGE_"]
)
def test_a_variable_that_is_no_setting_is_named(tmp_path: Path, variable: str) -> None:
    with pytest.raises(Stop, match=f"{variable}: there is no such setting"):
        load(write(tmp_path, GOOD), {variable: "1"})


def test_a_variable_with_a_wrong_value_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"broker.port: Expected `int`"):
        load(write(tmp_path, GOOD), {"CARDMINT_EDGE_BROKER_PORT": "many"})


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="cannot read the settings"):
        load(tmp_path / "none.toml", {})


def documented() -> set[str]:
    return set(re.findall(r"^\| `([a-z]+\.[a-z_]+)`", DOCUMENT.read_text(), re.MULTILINE))


def known() -> set[str]:
    keys = {"camera.type"}
    for section in msgspec.structs.fields(EdgeSettings):
        kinds = (
            (
                FolderCameraSettings,
                ReplayCameraSettings,
                VideoCameraSettings,
                TetheredCameraSettings,
            )
            if section.name == "camera"
            else (section.type,)
        )
        for kind in kinds:
            keys |= {f"{section.name}.{field.name}" for field in msgspec.structs.fields(kind)}
    return keys


def test_each_setting_is_documented_and_nothing_else() -> None:
    assert documented() == known()
