"""The station's settings.

One TOML file and `CARDMINT_EDGE_SECTION_KEY` over it, read once (docs/settings-edge.md).
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import Meta, Struct

from cardmint_contracts import topics
from cardmint_contracts.errors import BadTopic
from cardmint_edge.errors import Stop

ENVIRONMENT = "CARDMINT_EDGE_"

Port = Annotated[int, Meta(ge=1, le=65535)]
Text = Annotated[str, Meta(min_length=1, max_length=255)]
Seconds = Annotated[float, Meta(ge=0, le=86400)]


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class StationSettings(_Section, frozen=True):
    """Who the station is, where it keeps its data, where its page is."""

    tenant: Text
    name: Text
    data: Path
    page_host: Text = "127.0.0.1"
    page_pin: Annotated[str, Meta(pattern=r"^([0-9]{6,12})?\Z")] = ""
    page_port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    beep: bool = False
    reserve_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 500


class BrokerSettings(_Section, frozen=True):
    """The MQTT 5 broker."""

    host: Text = "127.0.0.1"
    port: Port = 1883
    username: str = ""
    password: str = ""
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


class ImageUploadSettings(_Section, frozen=True):
    """Where images go; nowhere when `url` is empty."""

    url: Annotated[str, Meta(pattern=r"^(https?://[^\s/]+(/[^\s?#]*)?)?\Z")] = ""
    max_kb_per_s: Annotated[int, Meta(ge=0)] = 0


class RecognitionSettings(_Section, frozen=True):
    """What cards are recognised with, and who may send better."""

    pack: Path
    signed_by: Annotated[str, Meta(pattern=r"^([A-Za-z0-9+/]{43}=)?\Z")] = ""


class FolderCameraSettings(_Section, frozen=True, tag_field="type", tag="folder"):
    """Pictures that another program puts into a folder.

    One counts as whole when it was still for `settle_s`.
    """

    path: Path
    settle_s: Seconds = 0.3


class ReplayCameraSettings(_Section, frozen=True, tag_field="type", tag="replay"):
    """The pictures of a folder in the order of their names, once, or again and again."""

    path: Path
    loop: bool = False


class VideoCameraSettings(_Section, frozen=True, tag_field="type", tag="video"):
    """A webcam or the Raspberry Pi's camera: a V4L2 device, by number or path."""

    device: int | Text = 0
    width: Annotated[int, Meta(ge=320, le=10000)] = 1920
    height: Annotated[int, Meta(ge=240, le=10000)] = 1080
    by_itself: bool = True


class TetheredCameraSettings(_Section, frozen=True, tag_field="type", tag="tethered"):
    """A camera on USB through libgphoto2; `model` is a part of its name when there are several."""

    model: str = ""
    by_itself: bool = True


CameraSettings: TypeAlias = (
    FolderCameraSettings | ReplayCameraSettings | VideoCameraSettings | TetheredCameraSettings
)


class EdgeSettings(_Section, frozen=True):
    """Everything that an operator may set. Times are seconds."""

    station: StationSettings
    recognition: RecognitionSettings
    camera: CameraSettings
    broker: BrokerSettings = BrokerSettings()
    cloud: ImageUploadSettings = ImageUploadSettings()


def load(path: Path, environment: Mapping[str, str]) -> EdgeSettings:
    """Read the settings. A relative path in them counts from the file's folder.

    Raises:
        Stop: no such file, no TOML, an unknown key, or a wrong value; the message names the key.
    """
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        message = f"cannot read the settings {path}: {error.strerror}"
        raise Stop(message) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is no TOML: {error}"
        raise Stop(message) from error

    folder = path.absolute().parent
    settings = _convert(found, folder, str(path), strict=not _overlay(found, environment))
    for key, value in (("tenant", settings.station.tenant), ("name", settings.station.name)):
        try:
            topics.name(value)
        except BadTopic as error:
            message = f"{path}: station.{key}: {error}"
            raise Stop(message) from error
    if (
        settings.station.page_host not in {"127.0.0.1", "localhost", "::1"}
        and not settings.station.page_pin
    ):
        message = (
            f"{path}: station.page_host: without station.page_pin, 6 to 12 digits, the page asks nobody who they are "
            "and is only served on 127.0.0.1 or ::1"
        )
        raise Stop(message)
    return settings


def _overlay(found: dict[str, Any], environment: Mapping[str, str]) -> bool:
    overlaid = False
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT):
            continue
        section, _, key = variable.removeprefix(ENVIRONMENT).lower().partition("_")
        table = found.setdefault(section, {})
        if section not in EdgeSettings.__struct_fields__ or not key or not isinstance(table, dict):
            message = f"{variable}: no such setting; it is {ENVIRONMENT}SECTION_KEY, as {ENVIRONMENT}BROKER_PORT"
            raise Stop(message)
        table[key] = value
        overlaid = True
    return overlaid


def _convert(found: dict[str, Any], folder: Path, origin: str, *, strict: bool) -> EdgeSettings:
    def path_from(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str) and value:
            return folder / value
        raise ValueError("expected a path")

    try:
        return msgspec.convert(found, EdgeSettings, strict=strict, dec_hook=path_from)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        unknown = re.search(r"unknown field `(.*)`", what)
        section = where.strip("`").removeprefix("$").strip(".")
        if unknown:
            what = "no such key"
            section = f"{section}.{unknown[1]}".strip(".")
        message = f"{origin}: {section or 'settings'}: {what}"
        raise Stop(message) from None
