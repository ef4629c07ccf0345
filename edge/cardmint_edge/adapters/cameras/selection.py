"""Opens the camera that the settings name."""

from collections.abc import Callable
from typing import TypeAlias

from cardmint_edge.adapters.cameras.bounded import BoundedCamera
from cardmint_edge.adapters.cameras.live import LiveCamera
from cardmint_edge.adapters.cameras.photos import NoCamera
from cardmint_edge.adapters.cameras.video import VideoDevice
from cardmint_edge.capture import Camera
from cardmint_edge.settings import (
    CameraSettings,
    PhoneCameraSettings,
    ReplayCameraSettings,
    TetheredCameraSettings,
    VideoCameraSettings,
)

OpenCamera: TypeAlias = Callable[[CameraSettings, int, bytes], Camera]


def camera_of(settings: CameraSettings, start_at: int, last_fingerprint: bytes) -> Camera:
    """Make the camera.

    A replay starts after the `start_at` shots that were counted or set aside. A live camera knows
    the last counted card by its fingerprint.
    """
    if isinstance(settings, VideoCameraSettings):
        video = VideoDevice(settings.device, width=settings.width, height=settings.height)
        return LiveCamera(video, last_fingerprint=last_fingerprint, by_itself=settings.by_itself)
    if isinstance(settings, TetheredCameraSettings):
        from cardmint_edge.adapters.cameras.gphoto import TetheredDevice  # noqa: PLC0415 - loads libgphoto2

        return LiveCamera(
            TetheredDevice(model=settings.model),
            last_fingerprint=last_fingerprint,
            by_itself=settings.by_itself,
        )
    if isinstance(settings, ReplayCameraSettings):
        from cardmint_edge.adapters.cameras.replay import ReplayCamera  # noqa: PLC0415 - loads the decoders

        return ReplayCamera(settings.path, loop=settings.loop, start_at=start_at)
    if isinstance(settings, PhoneCameraSettings):
        return NoCamera()
    from cardmint_edge.adapters.cameras.folder import FolderCamera  # noqa: PLC0415 - as above

    folder = FolderCamera(settings.path, settle_s=settings.settle_s, beside=True)
    return BoundedCamera(folder, settings.path)
