"""Cameras that are plugged in: webcams by their names, tethered cameras by their models."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BY_ID = Path("/dev/v4l/by-id")
DEVICES = Path("/dev")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCamera:
    """A camera: the settings' `camera.type`, the key and value that name it, and its own name."""

    type: str
    key: str
    value: str
    name: str


def find_cameras(
    by_id: Path = BY_ID,
    devices: Path = DEVICES,
    *,
    autodetect: Callable[[], Iterable[tuple[str, str]]] | None = None,
) -> list[FoundCamera]:
    """Return the cameras that are plugged in, tethered ones first.

    `autodetect` returns models and ports, as libgphoto2 does.
    """
    return [*_tethered(autodetect), *_webcams(by_id, devices)]


def _webcams(by_id: Path, devices: Path) -> list[FoundCamera]:
    """Return webcams by names that stay when another one is plugged in, or by number."""
    with suppress(OSError):
        names = sorted(path for path in by_id.iterdir() if path.name.endswith("-video-index0"))
        if names:
            return [
                FoundCamera(type="video", key="device", value=str(path), name=_plain(path.name))
                for path in names
            ]
    return [
        FoundCamera(type="video", key="device", value=str(path), name=path.name)
        for path in sorted(devices.glob("video[0-9]*"))
    ]


def _plain(name: str) -> str:
    return name.removeprefix("usb-").removesuffix("-video-index0").replace("_", " ")


def _tethered(
    autodetect: Callable[[], Iterable[tuple[str, str]]] | None,
) -> list[FoundCamera]:
    import gphoto2  # noqa: PLC0415 - libgphoto2 looks at every USB device

    try:
        found = list(autodetect() if autodetect else gphoto2.Camera.autodetect().items())
    except gphoto2.GPhoto2Error:
        return []
    return [
        FoundCamera(type="tethered", key="model", value=str(model), name=str(model))
        for model, _ in found
    ]
