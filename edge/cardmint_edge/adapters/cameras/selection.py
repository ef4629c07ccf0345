"""Which camera the settings mean."""

from collections.abc import Callable
from typing import TypeAlias

from cardmint_edge.adapters.cameras.live import LiveCamera
from cardmint_edge.adapters.cameras.video import VideoDevice
from cardmint_edge.capture import Camera
from cardmint_edge.settings import (
    CameraSettings,
    ReplayCameraSettings,
    TetheredCameraSettings,
    VideoCameraSettings,
)

OpenCamera: TypeAlias = Callable[[CameraSettings, int, bytes], Camera]


def camera_of(settings: CameraSettings, start_at: int, seen: bytes) -> Camera:
    """Make the camera.

    One that can be resumed begins after the `start_at` shots that were counted or set aside; one
    that looks by itself knows the last counted card again by what was `seen` of it.
    """
    if isinstance(settings, VideoCameraSettings):
        video = VideoDevice(settings.device, width=settings.width, height=settings.height)
        return LiveCamera(video, seen=seen, by_itself=settings.by_itself)
    if isinstance(settings, TetheredCameraSettings):
        from cardmint_edge.adapters.cameras.gphoto import TetheredDevice  # noqa: PLC0415 - loads libgphoto2

        return LiveCamera(
            TetheredDevice(model=settings.model), seen=seen, by_itself=settings.by_itself
        )
    if isinstance(settings, ReplayCameraSettings):
        from cardmint_edge.adapters.cameras.replay import ReplayCamera  # noqa: PLC0415 - loads what decodes files

        return ReplayCamera(settings.path, loop=settings.loop, start_at=start_at)
    from cardmint_edge.adapters.cameras.folder import FolderCamera  # noqa: PLC0415 - as above

    return FolderCamera(settings.path, settle_s=settings.settle_s)
