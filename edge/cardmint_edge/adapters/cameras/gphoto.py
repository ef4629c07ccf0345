"""Tethered cameras through libgphoto2."""

import time
from contextlib import suppress

import gphoto2

from cardmint_edge.adapters.decode import Unreadable, decode_image
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Retry

_MESSAGES = {
    gphoto2.GP_ERROR_MODEL_NOT_FOUND: (
        "no camera found; plug it in, switch it on, and set it to PTP"
    ),
    gphoto2.GP_ERROR_UNKNOWN_PORT: "no camera on that port; plug it in again",
    gphoto2.GP_ERROR_IO_USB_FIND: "the camera is gone; plug it in again",
    gphoto2.GP_ERROR_IO_USB_CLAIM: (
        "another program uses the camera; close it, or unmount the camera there"
    ),
    gphoto2.GP_ERROR_IO: "the camera does not answer; wake it, or plug it in again",
    gphoto2.GP_ERROR_IO_READ: "the cable fails; plug it in again",
    gphoto2.GP_ERROR_IO_WRITE: "the cable fails; plug it in again",
    gphoto2.GP_ERROR_TIMEOUT: (
        "the camera is asleep; press its shutter halfway, and switch off its power saving"
    ),
    gphoto2.GP_ERROR_CAMERA_BUSY: "the camera is busy; the station tries again",
    gphoto2.GP_ERROR_NO_SPACE: (
        "the camera's card is full; empty it, or set the camera to keep photos in memory"
    ),
    gphoto2.GP_ERROR_NOT_SUPPORTED: (
        "this camera takes no photo on command; use a model that libgphoto2 can release"
    ),
}
_NO_PREVIEW = {gphoto2.GP_ERROR_NOT_SUPPORTED, gphoto2.GP_ERROR}
LOW_BATTERY = 5
"""Percent of charge below which the station asks for the battery to be charged."""


class TetheredDevice:
    """A camera on USB. `model` is a part of its name; empty takes the only camera."""

    def __init__(self, *, model: str = "", low_battery: int = LOW_BATTERY) -> None:
        self._model = model
        self._low_battery = low_battery
        self._camera: gphoto2.Camera | None = None
        self._has_preview = True
        self.name = "tethered camera"

    def open(self) -> None:
        """Open the camera.

        Raises:
            Retry: there is no camera, it is another model, its battery is empty, or another
                program uses it.
        """
        camera = gphoto2.Camera()
        try:
            camera.init()
            model = _model_of(camera)
            if self._model.lower() not in model.lower():
                camera.exit()
                raise Retry(
                    f"the camera is a {model}, the settings name {self._model!r}; plug that one in"
                )
            _check_battery(camera, model, self._low_battery)
        except gphoto2.GPhoto2Error as error:
            raise self._error(error) from error
        self._camera = camera
        self._has_preview = True
        self.name = model

    def preview(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - a preview comes at once
        """Return a preview; None if the camera has none.

        Raises:
            Retry: the camera is away.
        """
        if not self._has_preview:
            return None
        try:
            return _decoded(self._opened.capture_preview())
        except gphoto2.GPhoto2Error as error:
            if error.code in _NO_PREVIEW:
                self._has_preview = False
                return None
            raise self._error(error) from error

    def button_photo(self, timeout_s: float) -> Frame | None:
        """Wait for a photo taken with the camera's own button.

        Raises:
            Retry: the camera is away.
        """
        until = time.monotonic() + timeout_s
        try:
            while True:
                left = max(0, round((until - time.monotonic()) * 1000))
                kind, what = self._opened.wait_for_event(left)
                if kind == gphoto2.GP_EVENT_FILE_ADDED:
                    return self._fetch(what)
                if kind == gphoto2.GP_EVENT_TIMEOUT:
                    # Some cameras answer at once: without a pause this loop would never rest.
                    time.sleep(max(0.0, min(0.05, until - time.monotonic())))
                if time.monotonic() >= until:
                    return None
        except gphoto2.GPhoto2Error as error:
            raise self._error(error) from error

    def take_photo(self) -> Frame:
        """Take a photo, and remove it from the camera's card.

        Raises:
            Retry: the camera is away, asleep, busy or full.
        """
        try:
            return self._fetch(self._opened.capture(gphoto2.GP_CAPTURE_IMAGE))
        except gphoto2.GPhoto2Error as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Release the camera."""
        camera, self._camera = self._camera, None
        if camera is not None:
            with suppress(gphoto2.GPhoto2Error):
                camera.exit()

    @property
    def _opened(self) -> gphoto2.Camera:
        if self._camera is None:
            raise Retry(f"{self.name}: it is not open")
        return self._camera

    def _fetch(self, path: gphoto2.CameraFilePath) -> Frame:
        file = self._opened.file_get(path.folder, path.name, gphoto2.GP_FILE_TYPE_NORMAL)
        with suppress(gphoto2.GPhoto2Error):  # a photo in the camera's memory cannot be removed
            self._opened.file_delete(path.folder, path.name)
        return _decoded(file)

    def _error(self, error: gphoto2.GPhoto2Error) -> Retry:
        message = _MESSAGES.get(
            error.code, f"libgphoto2 says {error.string!r}; plug the camera in again"
        )
        return Retry(f"{self.name}: {message}")


def _model_of(camera: gphoto2.Camera) -> str:
    return str(camera.get_abilities().model)


def _decoded(file: gphoto2.CameraFile) -> Frame:
    data = file.get_data_and_size()  # valid only as long as `file`
    try:
        return decode_image(bytes(data))
    except Unreadable as error:
        raise Retry(f"the camera's photo: {error}; set the camera to JPEG") from error


def _check_battery(camera: gphoto2.Camera, name: str, lowest: int) -> None:
    try:
        level = str(camera.get_single_config("batterylevel").get_value())
    except gphoto2.GPhoto2Error:
        return
    digits = level.strip().removesuffix("%")
    if digits.isdecimal() and int(digits) < lowest:
        camera.exit()
        raise Retry(f"{name}: its battery is at {level}; charge it, or use a mains adapter")
