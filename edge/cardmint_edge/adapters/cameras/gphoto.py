"""Tethered cameras through libgphoto2."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from math import inf
from pathlib import Path

import gphoto2
import structlog

from cardmint_edge.adapters.cameras.file_names import RAW_ENDINGS, FileKind, kind_of, printable
from cardmint_edge.adapters.decode import Unreadable, decode_image
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park, Retry

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


PAIR_S = 6.0
"""Seconds within which a camera reports all files of one photo."""

QUIET_S = 0.3
"""Seconds without a file after which a camera has listed its old photos."""

LISTS_S = 5.0
"""Seconds that opening waits for a camera to list its old photos."""

CHATTER_S = 1.0
"""Seconds beyond its time that a camera's other events are listened to."""

KNOWN_PHOTOS = 50
"""How many photos are known, so that a second file of one is no second photo."""

log = structlog.get_logger(__name__)


class TetheredDevice:
    """A camera on USB. `model` is a part of its name; empty takes the only camera.

    Files of one name are one photo, whatever their order: the JPEG is taken and the raw file left
    on the camera. A photo is removed from the camera only when it was counted. Photos that lay on
    the camera before it was opened are left alone.
    """

    def __init__(
        self,
        *,
        model: str = "",
        low_battery: int = LOW_BATTERY,
        make: Callable[[], gphoto2.Camera] = gphoto2.Camera,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._model = model
        self._low_battery = low_battery
        self._make = make
        self._clock = clock
        self._sleep = sleep
        self._camera: gphoto2.Camera | None = None
        self._has_preview = True
        self._photos: deque[gphoto2.CameraFilePath] = deque()
        """Photos by the camera's button that wait to be fetched."""
        self._raw: dict[str, tuple[str, float]] = {}
        """Raw files without their photo: name, and until when the photo may come."""
        self._known: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        """Photos that were given: the name of the file, and the digest of its bytes."""
        self._given: gphoto2.CameraFilePath | None = None
        self._awaited = ""
        """The name of the photo that was ordered last, without its ending."""
        self._old_photos = 0
        self._listed_at = inf
        """When the camera will have listed its old photos; infinite once it has."""
        self.name = "tethered camera"
        self.note = ""

    def open(self) -> None:
        """Open the camera.

        Raises:
            Retry: there is no camera, it is another model, its battery is empty, or another
                program uses it.
        """
        camera = self._make()
        try:
            camera.init()
            model = _model_of(camera)
            if self._model.lower() not in model.lower():
                camera.exit()
                raise Retry(
                    f"the camera is a {model}, the settings name {self._model!r}; plug that one in"
                )
            _check_battery(camera, model, self._low_battery)
            self._camera = camera
            self._pass_over_old_photos()
        except gphoto2.GPhoto2Error as error:
            self._camera = None
            raise self._error(error) from error
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
            data = self._opened.capture_preview().get_data_and_size()
            return decode_image(bytes(data))
        except Unreadable as error:
            raise Retry(f"{self.name}: its preview is {error}; switch it off and on") from error
        except gphoto2.GPhoto2Error as error:
            if error.code in _NO_PREVIEW:
                self._has_preview = False
                return None
            raise self._error(error) from error

    def button_photo(self, timeout_s: float) -> Frame | None:
        """Wait for a photo taken with the camera's own button.

        Raises:
            Park: the camera saved a raw file only, or a damaged photo.
            Retry: the camera is away.
        """
        until = self._clock() + timeout_s
        try:
            while True:
                self._read_events(self._clock() if self._photos else until)
                while self._photos:
                    photo = self._fetch_next()
                    if photo is not None:
                        return photo
                self._check_raw_only()
                if self._clock() >= until:
                    return None
        except gphoto2.GPhoto2Error as error:
            raise self._error(error) from error

    def take_photo(self) -> Frame:
        """Take a photo.

        Raises:
            Park: a photo was taken, and the camera saved a raw file only, or a damaged one.
            Retry: the camera is away, asleep, busy or full.
        """
        try:
            self._read_events(self._clock())
            path = self._opened.capture(gphoto2.GP_CAPTURE_IMAGE)
            self._known.pop(_stem(path.name), None)  # in memory a camera may use one name again
            if not _is_photo(path.name):
                path = self._photo_of(path)
            photo = self._fetch(path)
        except gphoto2.GPhoto2Error as error:
            raise self._error(error) from error
        if photo is None:  # pragma: no cover - the photo was made unknown above
            raise Retry(f"{self.name}: it gave the same photo twice; take it again")
        return photo

    def photo_counted(self) -> None:
        """Remove the last photo from the camera."""
        given, self._given = self._given, None
        if given is not None and self._camera is not None:
            # A photo in the camera's memory, or on a locked card, cannot be removed.
            with suppress(gphoto2.GPhoto2Error):
                self._camera.file_delete(given.folder, given.name)

    def close(self) -> None:
        """Release the camera."""
        camera, self._camera, self._given = self._camera, None, None
        self._raw.clear()
        if camera is not None:
            with suppress(gphoto2.GPhoto2Error):
                camera.exit()

    @property
    def _opened(self) -> gphoto2.Camera:
        if self._camera is None:
            raise Retry(f"{self.name}: it is not open")
        return self._camera

    def _pass_over_old_photos(self) -> None:
        """Let the camera list what lies on it. It may go on with that after this returns."""
        self._old_photos, until = 0, self._clock() + LISTS_S
        self._listed_at = self._clock() + QUIET_S
        while self._listed_at < inf and self._clock() < until:
            self._read_events(self._listed_at)

    def _read_events(self, until: float) -> None:
        """Wait for a file until then, and read every event that is there by then."""
        patience = until + CHATTER_S
        while True:
            left = max(0.0, until - self._clock())
            kind, what = self._opened.wait_for_event(round(left * 1000))
            if kind == gphoto2.GP_EVENT_FILE_ADDED:
                self._sort(what)
                until = self._clock()
            if self._clock() >= self._listed_at:
                self._listed_at = inf
                if self._old_photos:
                    log.info("old photos stay on the camera", photos=self._old_photos)
            if kind == gphoto2.GP_EVENT_TIMEOUT and self._clock() >= until:
                return
            if self._clock() >= patience:
                return
            if kind == gphoto2.GP_EVENT_TIMEOUT:
                # Some cameras answer at once: without a pause this loop would never rest.
                self._sleep(max(0.0, min(0.05, until - self._clock())))

    def _sort(self, path: gphoto2.CameraFilePath) -> None:
        """Take the news of a file: a photo, or the raw file of one."""
        stem = _stem(path.name)
        if self._listed_at < inf and stem != self._awaited:
            self._old_photos += 1
            self._listed_at = self._clock() + QUIET_S
            return
        known = self._known.get(stem)
        if known is not None and known[0] != path.name:
            return  # another file of a photo that was given
        if _is_photo(path.name):
            self._raw.pop(stem, None)
            self._photos.append(path)
        elif _is_raw(path.name) and all(_stem(one.name) != stem for one in self._photos):
            self._raw.setdefault(stem, (path.name, self._clock() + PAIR_S))

    def _photo_of(self, raw: gphoto2.CameraFilePath) -> gphoto2.CameraFilePath:
        """Wait for the photo beside a raw file that was just taken."""
        stem, until = _stem(raw.name), self._clock() + PAIR_S
        self._awaited = stem
        while self._clock() < until:
            self._read_events(min(until, self._clock() + 0.25))
            for path in self._photos:
                if _stem(path.name) == stem:
                    self._photos.remove(path)
                    return path
        self._raw.pop(stem, None)
        raise self._raw_only(raw.name)

    def _check_raw_only(self) -> None:
        now = self._clock()
        for stem, (name, until) in list(self._raw.items()):
            if now >= until:
                del self._raw[stem]
                raise self._raw_only(name)

    def _raw_only(self, name: str) -> Park:
        return Park(
            f"{self.name}: it saved only the raw file {printable(name)};"
            " set its image quality to JPEG, or to raw and JPEG, and take the card again"
        )

    def _fetch_next(self) -> Frame | None:
        """Return the next photo by the button. It waits on when the camera fails meanwhile."""
        try:
            photo = self._fetch(self._photos[0])
        except gphoto2.GPhoto2Error as error:
            if error.code != gphoto2.GP_ERROR_FILE_NOT_FOUND:
                raise
            log.warning("a photo is gone from the camera", file=printable(self._photos[0].name))
            photo = None
        except Park:
            self._photos.popleft()
            raise
        self._photos.popleft()
        return photo

    def _fetch(self, path: gphoto2.CameraFilePath) -> Frame | None:
        """Return a photo; None where it was given before.

        Raises:
            Park: it cannot be decoded. It stays on the camera.
        """
        file = self._opened.file_get(path.folder, path.name, gphoto2.GP_FILE_TYPE_NORMAL)
        content = bytes(file.get_data_and_size())  # the buffer lives only as long as `file`
        stem, digest = _stem(path.name), sha256(content).digest()
        if self._known.get(stem) == (path.name, digest):
            return None
        self._known[stem] = (path.name, digest)
        while len(self._known) > KNOWN_PHOTOS:
            self._known.popitem(last=False)
        try:
            photo = decode_image(content)
        except Unreadable as error:
            raise Park(
                f"{self.name}: its photo {printable(path.name)} is {error}; take the card again"
            ) from error
        self._given = path
        return photo

    def _error(self, error: gphoto2.GPhoto2Error) -> Retry:
        message = _MESSAGES.get(
            error.code, f"libgphoto2 says {error.string!r}; plug the camera in again"
        )
        return Retry(f"{self.name}: {message}")


def _stem(name: str) -> str:
    return Path(name).stem.lower()


def _is_photo(name: str) -> bool:
    return kind_of(name) is FileKind.PICTURE and Path(name).suffix.lower() not in {".tif", ".tiff"}


def _is_raw(name: str) -> bool:
    return Path(name).suffix.lower() in RAW_ENDINGS


def _model_of(camera: gphoto2.Camera) -> str:
    return str(camera.get_abilities().model)


def _check_battery(camera: gphoto2.Camera, name: str, lowest: int) -> None:
    try:
        level = str(camera.get_single_config("batterylevel").get_value())
    except gphoto2.GPhoto2Error:
        return
    digits = level.strip().removesuffix("%")
    if digits.isdecimal() and int(digits) < lowest:
        camera.exit()
        raise Retry(f"{name}: its battery is at {level}; charge it, or use a mains adapter")
