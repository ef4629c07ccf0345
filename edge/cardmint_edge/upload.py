"""Uploading: images go to the cloud after the facts that refer to them."""

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

from cardmint_edge.errors import EdgeError, Park, Retry

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
PARKED_S = 86_400.0
LOOK_S = 5.0
"""How often to look for images that are due, when nobody says so."""

log = structlog.get_logger(__name__)


class UploadQueue(Protocol):
    """Knows which images the cloud still needs."""

    def next(self) -> str | None:
        """Return an image that is due."""
        ...

    def uploaded(self, sha256: str) -> None:
        """Learn that the cloud has an image."""
        ...

    def park(self, sha256: str, reason: str) -> None:
        """Set an image aside that cannot be uploaded."""
        ...

    def unpark(self) -> int:
        """Let every image that was set aside be due once more."""
        ...


class ImageBytes(Protocol):
    """Has the images' bytes."""

    def get(self, digest: str) -> bytes | None:
        """Return an image's bytes; None when the station has no such image."""
        ...


class ImageEndpoint(Protocol):
    """Takes images; raises Park when it does not want one, Retry when it is away."""

    def put(self, sha256: str, jpeg: bytes) -> None:
        """Upload one image."""
        ...


class Uploader:
    """Uploads one image after another in `run`, until `stop`."""

    def __init__(
        self,
        *,
        ledger: UploadQueue,
        store: ImageBytes,
        cloud: ImageEndpoint,
        wait: wait_base | None = None,
    ) -> None:
        """Take the parts; `wait` is the pause between attempts, exponential with jitter if not given."""
        self._ledger = ledger
        self._store = store
        self._cloud = cloud
        self._wait = wait or wait_exponential_jitter(initial=FIRST_WAIT_S, max=LONGEST_WAIT_S)
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._said = ""
        self.paused = False

    def wake(self) -> None:
        """Look for images that are due, from any thread."""
        self._due.set()

    def pause(self, paused: bool) -> None:
        """Hold uploading after the image at hand, or go on with it."""
        self.paused = paused
        self._due.set()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._due.set()

    def run(self) -> None:
        """Upload what is due, then wait for more.

        What was set aside is tried again at each start, and once a day.
        """
        parked_until = time.monotonic()
        while not self._stopping.is_set():
            self._due.clear()
            try:
                if time.monotonic() >= parked_until:
                    parked_until = time.monotonic() + PARKED_S
                    self._ledger.unpark()
                while (
                    not (self._stopping.is_set() or self.paused)
                    and (sha256 := self._ledger.next()) is not None
                ):
                    self.upload(sha256)
            except EdgeError as error:
                log.error("uploading waits", reason=str(error))
            self._due.wait(LOOK_S)

    def upload(self, sha256: str) -> None:
        """Upload one image; try until it is there, it is refused, or `stop`."""
        jpeg = self._store.get(sha256)
        if jpeg is None:
            self._park(sha256, "the station no longer has its bytes")
            return
        attempts = Retrying(
            retry=retry_if_exception_type(Retry),
            wait=self._wait,
            stop=stop_when_event_set(self._stopping),
            sleep=self._pause,
            before_sleep=self._say,
            reraise=True,
        )
        try:
            attempts(self._cloud.put, sha256, jpeg)
        except Park as error:
            self._park(sha256, str(error))
        except Retry:
            return  # stopping; it is tried again after the next start
        else:
            self._said = ""
            self._ledger.uploaded(sha256)

    def _park(self, sha256: str, reason: str) -> None:
        log.warning("image set aside", sha256=sha256, reason=reason)
        self._ledger.park(sha256, reason)

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _say(self, attempt: RetryCallState) -> None:
        reason = str(attempt.outcome.exception()) if attempt.outcome else ""
        if reason != self._said:
            self._said = reason
            log.warning("images wait; they are tried again", reason=reason)
