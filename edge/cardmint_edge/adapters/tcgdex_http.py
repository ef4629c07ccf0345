"""TCGdex's API, or a mirror of it, by HTTP: polite, and strict about what counts as an answer."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from cardmint_edge import __version__
from cardmint_edge.errors import Park, Retry, Stop

TRIES = 6
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 16 << 20
END_BYTES = 1024
"""A picture's end mark lies in its last bytes: some programs write a little behind it."""
USER_AGENT = f"cardmint-edge/{__version__} (catalogue fetch)"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer(Generic[T]):
    """An answer. `value` is None when nothing has changed since `etag`."""

    value: T | None
    etag: str = ""


class NotThere(Park):
    """The server does not have it (404)."""


class NoSense(Retry):
    """The answer is not what was asked for: cut short, or of another kind."""


class _TryAgain(Retry):
    """The server is away or busy. `after_s` is how long it asked to be left alone."""

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class TcgdexHttp:
    """GET requests to one server by at most `connections` connections.

    Safe to share between threads. When the server asks to be left alone, all of them wait.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the address up to the version, such as `https://api.tcgdex.net/v2`.

        Raises:
            Stop: it is no address.
        """
        self._url = url.rstrip("/")
        self._sleep = sleep
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self.calls = 0
        self.received = 0
        """Bodies that were received whole."""
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        if not self._url.startswith(("https://", "http://")):
            raise Stop(f"--url {url}: it does not begin with https:// or http://")
        try:
            self._client = httpx.Client(
                timeout=TIMEOUT_S,
                limits=limits,
                transport=transport,
                headers={"user-agent": USER_AGENT},
                follow_redirects=True,
            )
        except (ImportError, ValueError) as error:
            raise Stop(f"the proxy in the environment cannot be used: {error}") from None

    def json(self, path: str, shape: type[T], etag: str = "") -> Answer[T]:
        """Return the answer at a path below the address, read as `shape`.

        Raises:
            NotThere: the server does not have it.
            NoSense: it answered something else, several times.
            Retry: it is away or busy.
        """
        return self._retrying()(self._json, f"{self._url}/{path}", shape, etag)

    def picture(self, url: str, etag: str = "") -> Answer[bytes]:
        """Return the picture at an address; without a value when it is that of `etag`.

        Raises:
            NotThere, NoSense, Retry: as `json`.
        """
        return self._retrying()(self._picture, url, etag)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _json(self, url: str, shape: type[T], etag: str) -> Answer[T]:
        status, body, headers = self._get(url, etag)
        if status == HTTPStatus.NOT_MODIFIED:
            return Answer(value=None, etag=etag)
        try:
            value = msgspec.json.decode(body, type=shape)
        except msgspec.ValidationError as error:
            raise Park(f"{url} answered JSON of another shape: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            kind = headers.get("content-type", "no content type")[:80]
            raise NoSense(f"{url} answered no such JSON ({error}; {kind})") from None
        return Answer(value=value, etag=headers.get("etag", ""))

    def _picture(self, url: str, etag: str) -> Answer[bytes]:
        status, body, headers = self._get(url, etag)
        if status == HTTPStatus.NOT_MODIFIED:
            return Answer(value=None, etag=etag)
        if not is_picture(body):
            kind = headers.get("content-type", "no content type")[:80]
            raise NoSense(f"{url} answered no whole picture ({len(body)} bytes of {kind})")
        return Answer(value=body, etag=headers.get("etag", ""))

    def _get(self, url: str, etag: str) -> tuple[int, bytes, httpx.Headers]:
        self._wait_until_welcome()
        body = bytearray()
        try:
            headers = {"if-none-match": etag} if etag else {}
            with self._client.stream("GET", url, headers=headers) as response:
                self._check(url, response)
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise NoSense(f"{url} answered more than {MAX_ANSWER_BYTES >> 20} MB")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _TryAgain(f"{url}: {type(error).__name__} {error}") from None
        finally:
            with self._lock:
                self.calls += 1
        if response.status_code != HTTPStatus.NOT_MODIFIED:
            with self._lock:
                self.received += 1
        return response.status_code, bytes(body), response.headers

    def _check(self, url: str, response: httpx.Response) -> None:
        status = response.status_code
        if status in {HTTPStatus.OK, HTTPStatus.NOT_MODIFIED}:
            return
        message = f"{url} answered {status} {response.reason_phrase}"
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise NotThere(message)
        if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
            after_s = retry_after(response.headers.get("retry-after", ""), datetime.now(UTC))
            with self._lock:
                self._quiet_until = max(self._quiet_until, time.monotonic() + after_s)
            raise _TryAgain(message, after_s)
        if response.is_client_error and status != HTTPStatus.REQUEST_TIMEOUT:
            raise Park(message)
        raise _TryAgain(message)

    def _wait_until_welcome(self) -> None:
        with self._lock:
            pause = self._quiet_until - time.monotonic()
        if pause > 0:
            self._sleep(pause)

    def _retrying(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(Retry),
            stop=stop_after_attempt(TRIES),
            wait=_wait,
            sleep=self._sleep,
            reraise=True,
        )


def _wait(state: RetryCallState) -> float:
    error: Any = state.outcome.exception() if state.outcome else None
    backoff: float = min(FIRST_WAIT_S * 2 ** (state.attempt_number - 1), LONGEST_WAIT_S)
    return max(backoff, getattr(error, "after_s", 0.0))


def retry_after(text: str, now: datetime) -> float:
    """Return the seconds of a Retry-After header, a number or a date; 0 for neither."""
    if text.strip().isdecimal():
        seconds = float(text)
    else:
        try:
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def is_picture(content: bytes) -> bool:
    """Return whether bytes begin and end as a JPEG, PNG or WebP does."""
    end = content[-END_BYTES:]
    if content.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" in end
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND\xaeB`\x82" in end
    if content[:4] + content[8:12] == b"RIFFWEBP":
        return len(content) >= 8 + int.from_bytes(content[4:8], "little")
    return False
