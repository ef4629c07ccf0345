"""Upload: images go to the cloud, each after the event that refers to it."""

import threading
import time
from typing import Protocol

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_when_event_set,
    wait_exponential_jitter,
)
from tenacity.wait import wait_base

from cardmint_edge.domain.scan_record import WaitingImage
from cardmint_edge.errors import EdgeError, Park, Retry

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
RETRY_PARKED_S = 86_400.0
CHECK_EVERY_S = 5.0
"""Seconds between checks for images to upload, unless `wake` is called earlier."""

log = structlog.get_logger(__name__)


class UploadQueue(Protocol):
    """The images that the cloud still needs."""

    def next_to_upload(self) -> WaitingImage | None:
        """Return the next image to upload; None when none waits."""
        ...

    def record_upload(self, sha256: str) -> None:
        """Record that the cloud has an image."""
        ...

    def park(self, sha256: str, reason: str) -> None:
        """Set an image aside that cannot be uploaded."""
        ...

    def unpark(self) -> int:
        """Let every parked image be uploaded once more."""
        ...


class ImageBytes(Protocol):
    """The images' bytes."""

    def get(self, digest: str) -> bytes | None:
        """Return an image's bytes; None if the station does not have it."""
        ...


class ImageEndpoint(Protocol):
    """The cloud, as uploading needs it."""

    def put(self, image: WaitingImage, jpeg: bytes) -> None:
        """Upload one image. Raises Park if the cloud refuses it, Retry if the cloud is away."""
        ...


class Uploader:
    """Uploads one image after another in `run`, until `stop`."""

    def __init__(
        self,
        *,
        images: UploadQueue,
        store: ImageBytes,
        cloud: ImageEndpoint,
        wait: wait_base | None = None,
    ) -> None:
        """Take the parts. `wait` is the pause between attempts: exponential, with jitter."""
        self._images = images
        self._store = store
        self._cloud = cloud
        self._wait = wait or wait_exponential_jitter(initial=FIRST_WAIT_S, max=LONGEST_WAIT_S)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._last_error = ""
        self.paused = False

    def wake(self) -> None:
        """Check for images to upload now, from any thread."""
        self._wake.set()

    def pause(self, paused: bool) -> None:
        """Pause after the current image, or go on."""
        self.paused = paused
        self._wake.set()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """Upload images until `stop`. Parked ones are tried again at each start, and once a day."""
        parked_until = time.monotonic()
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                if time.monotonic() >= parked_until:
                    parked_until = time.monotonic() + RETRY_PARKED_S
                    self._images.unpark()
                while (
                    not (self._stopping.is_set() or self.paused)
                    and (image := self._images.next_to_upload()) is not None
                ):
                    self.upload(image)
            except EdgeError as error:
                log.error("uploading waits", reason=str(error))
            except Exception as error:
                if repr(error) != self._last_error:
                    self._last_error = repr(error)
                    log.exception("uploading failed; this is a bug")
            self._wake.wait(CHECK_EVERY_S)

    def upload(self, image: WaitingImage) -> None:
        """Upload one image. Try again until it is uploaded or refused, or until `stop`."""
        jpeg = self._store.get(image.sha256)
        if jpeg is None:
            self._park(image.sha256, "the station no longer has this image")
            return
        attempts = Retrying(
            retry=retry_if_exception_type(Retry),
            wait=self._wait,
            stop=stop_when_event_set(self._stopping),
            sleep=self._pause,
            before_sleep=self._log_attempt,
            reraise=True,
        )
        try:
            attempts(self._cloud.put, image, jpeg)
        except Park as error:
            self._park(image.sha256, str(error))
        except Retry:
            return  # stopping; the next start tries again
        else:
            self._last_error = ""
            self._images.record_upload(image.sha256)

    def _park(self, sha256: str, reason: str) -> None:
        log.warning("image set aside", sha256=sha256, reason=reason)
        self._images.park(sha256, reason)

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _log_attempt(self, attempt: RetryCallState) -> None:
        reason = str(attempt.outcome.exception()) if attempt.outcome else ""
        if reason != self._last_error:
            self._last_error = reason
            log.warning("images wait; the upload is tried again", reason=reason)
