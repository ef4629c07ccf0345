"""The station's settings: one TOML file, with the environment over it (docs/settings-edge.md)."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from msgspec import Meta

from cardmint_contracts import topics
from cardmint_contracts.errors import BadTopic
from cardmint_contracts.settings import (
    SECRET,
    BrokerSettings,
    Section,
    SettingsError,
    read_settings,
    settings_faults,
)
from cardmint_edge.errors import Stop

ENVIRONMENT = "CARDMINT_EDGE_"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

Text = Annotated[str, Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, Meta(ge=0, le=86400)]


class StationSettings(Section, frozen=True):
    """The station's name, its data folder and its page."""

    tenant: Text
    name: Text
    data: Path
    page_host: Text = "127.0.0.1"
    page_pin: Annotated[str, Meta(pattern=r"^([0-9]{6,12})?\Z", extra=SECRET)] = ""
    page_port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    beep: bool = False
    reserve_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 500


class ImageUploadSettings(Section, frozen=True):
    """Where images are uploaded, and which cloud it is. An empty `url` keeps them on the station.

    `token` is the station's at the cloud. `database` is the one that the station belongs to; None
    is the first that it hears.
    """

    url: Annotated[str, Meta(pattern=r"^(https?://[^\s/]+(/[^\s?#]*)?)?\Z")] = ""
    max_kb_per_s: Annotated[int, Meta(ge=0)] = 0
    token: Annotated[str, Meta(pattern=r"^(cm_[A-Za-z0-9_-]{20,100})?\Z", extra=SECRET)] = ""
    database: UUID | None = None


class RecognitionSettings(Section, frozen=True):
    """The catalogue pack, and the public key that must sign any pack or model from the cloud.

    They are fetched from the host of `cloud.url`, and from `hosts` (`host` or `host:port`). With
    `second_look` a larger reader, where it is installed, reads cards that stay uncertain.
    """

    pack: Path
    second_look: bool = True
    signed_by: Annotated[str, Meta(pattern=r"^([A-Za-z0-9+/]{43}=)?\Z")] = ""
    hosts: tuple[
        Annotated[str, Meta(pattern=r"^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?\Z")], ...
    ] = ()


class FolderCameraSettings(Section, frozen=True, tag_field="type", tag="folder"):
    """A folder into which another program writes pictures.

    A picture is complete when its file has not changed for `settle_s`.
    """

    path: Path
    settle_s: Seconds = 0.3


class ReplayCameraSettings(Section, frozen=True, tag_field="type", tag="replay"):
    """The pictures of a folder in the order of their names, once, or endlessly with `loop`."""

    path: Path
    loop: bool = False


class VideoCameraSettings(Section, frozen=True, tag_field="type", tag="video"):
    """A webcam or the Raspberry Pi's camera: a V4L2 device, by number or path."""

    device: int | Text = 0
    width: Annotated[int, Meta(ge=320, le=10000)] = 1920
    height: Annotated[int, Meta(ge=240, le=10000)] = 1080
    by_itself: bool = True


class TetheredCameraSettings(Section, frozen=True, tag_field="type", tag="tethered"):
    """A camera on USB through libgphoto2. `model` is a part of its name, to tell several apart."""

    model: str = ""
    by_itself: bool = True


class PhoneCameraSettings(Section, frozen=True, tag_field="type", tag="phone"):
    """No camera: the cards come as photos from phones, which any station takes."""


CameraSettings: TypeAlias = (
    FolderCameraSettings
    | ReplayCameraSettings
    | VideoCameraSettings
    | TetheredCameraSettings
    | PhoneCameraSettings
)


class EdgeSettings(Section, frozen=True):
    """Every setting of a station. Times are in seconds."""

    station: StationSettings
    recognition: RecognitionSettings
    camera: CameraSettings
    broker: BrokerSettings = BrokerSettings()
    cloud: ImageUploadSettings = ImageUploadSettings()


def load(path: Path, environment: Mapping[str, str]) -> EdgeSettings:
    """Read the settings. A relative path in them counts from the file's folder.

    Raises:
        Stop: the file is missing or is not TOML, a key is unknown, or a value is wrong. The message
            names the key.
    """
    table = _table(path)
    try:
        settings = read_settings(
            EdgeSettings, table, environment, prefix=ENVIRONMENT, folder=path.absolute().parent
        )
        _check_station(settings.station)
    except SettingsError as error:
        raise Stop(f"{path}: {error}; see docs/settings-edge.md") from None
    return settings


def faults(path: Path, environment: Mapping[str, str]) -> list[str]:
    """Return everything for which `load` would stop, one line each.

    Raises:
        Stop: the file is missing or is not TOML.
    """
    found = settings_faults(
        EdgeSettings,
        _table(path),
        environment,
        prefix=ENVIRONMENT,
        folder=path.absolute().parent,
    )
    if found:
        return [f"{path}: {fault}; see docs/settings-edge.md" for fault in found]
    try:
        load(path, environment)
    except Stop as error:
        return [str(error)]
    return []


def _table(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise Stop(f"cannot read the settings {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{path} is not TOML: {error}") from error
    camera = table.get("camera")
    if isinstance(camera, dict) and camera.get("type") == "simulator":
        raise Stop(
            f"{path}: camera.type: the simulated camera is `cardmint-lab station run` now; set"
            " another type here, which that command does not open"
        )
    return table


def _check_station(station: StationSettings) -> None:
    for key, value in (("tenant", station.tenant), ("name", station.name)):
        try:
            topics.name(value)
        except BadTopic as error:
            raise SettingsError(f"station.{key}: {error}") from error
    if station.page_host not in LOOPBACK and not station.page_pin:
        raise SettingsError(
            "station.page_host: other machines reach the page only with a PIN: set station.page_pin"
            " to 6 to 12 digits, or serve the page on 127.0.0.1"
        )
