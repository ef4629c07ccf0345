"""TCGdex's API, or a mirror of it, by HTTP: polite, and strict about what counts as an answer."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import httpx
import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from cardmint_edge import __version__
from cardmint_edge.adapters.decode import Unreadable, decode_image
from cardmint_edge.errors import Park, Retry, Stop

TRIES = 6
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
LONGEST_RETRY_AFTER_S = 300.0
"""Seconds that a server may ask to be left alone while a fetch waits."""
SAID_FROM_S = 5.0
"""Seconds of such a wait from which a line says so."""
TIMEOUT_S = 30.0
LONGEST_ANSWER_S = 120.0
"""Seconds that one answer may take from its first byte to its last."""
YEAR_S = 365 * 86400.0
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
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take the address up to the version, such as `https://api.tcgdex.net/v2`.

        A user and a password in it are sent to its own host alone, and `url` is without them. `say`
        takes a line about each long wait.

        Raises:
            Stop: it is no address.
        """
        self._ended = threading.Event()
        self._sleep = sleep or self._wait_for
        self._clock = clock
        self._say = say
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self.calls = 0
        self.received = 0
        """Bodies that were received whole."""
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        shown, self._auth = _without_password(url)
        self.url = shown.rstrip("/")
        """The address, without a password."""
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
        return self._retrying()(self._json, f"{self.url}/{path}", shape, etag)

    def picture(self, url: str, etag: str = "") -> Answer[bytes]:
        """Return the picture at an address; without a value when it is that of `etag`.

        Raises:
            NotThere, NoSense, Retry: as `json`.
        """
        return self._retrying()(self._picture, url, etag)

    def interrupt(self) -> None:
        """End all waiting, from any thread: what is asked from now on raises Stop."""
        self._ended.set()

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
        kind = headers.get("content-type", "no content type")[:80]
        if not _begins_as_picture(body):
            raise Park(f"{url} answered no picture ({len(body)} bytes of {kind})")
        if not is_picture(body):
            raise NoSense(f"{url} answered no whole picture ({len(body)} bytes of {kind})")
        try:
            decode_image(body)
        except Unreadable as error:
            raise Park(f"{url} answered a picture that cannot be read: {error}") from None
        return Answer(value=body, etag=headers.get("etag", ""))

    def _get(self, url: str, etag: str) -> tuple[int, bytes, httpx.Headers]:
        self._wait_until_welcome()
        if self._ended.is_set():
            raise Stop("it was ended")
        if not _is_address(url):
            raise Park(f"{url[:200]!r} leads nowhere: not an address of http or https")
        body = bytearray()
        try:
            headers = {"if-none-match": etag} if etag else {}
            # The password is for the server alone: pictures may lie elsewhere.
            auth = self._auth if url.startswith(f"{self.url}/") else None
            with self._client.stream("GET", url, headers=headers, auth=auth) as response:
                self._check(url, response)
                began = self._clock()
                for chunk in response.iter_bytes():
                    body += chunk
                    if self._clock() - began > LONGEST_ANSWER_S:
                        raise _TryAgain(f"{url} took more than {LONGEST_ANSWER_S:.0f} s")
                    if len(body) > MAX_ANSWER_BYTES:
                        raise NoSense(f"{url} answered more than {MAX_ANSWER_BYTES >> 20} MB")
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects) as error:
            raise Park(f"{url[:200]!r} leads nowhere: {type(error).__name__} {error}") from None
        except httpx.HTTPError as error:
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
            if after_s > LONGEST_RETRY_AFTER_S:
                raise Stop(
                    f"{message}: it asks to be left alone for {timedelta(seconds=round(after_s))}:"
                    " what was fetched stays; run the command again after that"
                )
            self._be_quiet(message, after_s)
            raise _TryAgain(message, after_s)
        if response.is_client_error and status != HTTPStatus.REQUEST_TIMEOUT:
            raise Park(message)
        raise _TryAgain(message)

    def _wait_for(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def _be_quiet(self, message: str, after_s: float) -> None:
        """Let all threads wait, and say so where it is long."""
        with self._lock:
            until = self._clock() + after_s
            longer = until - self._quiet_until
            self._quiet_until = max(self._quiet_until, until)
        if min(longer, after_s) > SAID_FROM_S:
            self._say(f"{message}: waiting for {after_s:.0f} s, as it asks")

    def _wait_until_welcome(self) -> None:
        with self._lock:
            pause = self._quiet_until - self._clock()
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
    """Return the seconds of a Retry-After header, a number or a date; 0 for neither.

    At most a year.
    """
    if text.strip().isdecimal():
        seconds = float(text)
    else:
        try:
            seconds = (parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), YEAR_S)


def _is_address(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    # What no host's name may have was escaped.
    return parsed.scheme in {"http", "https"} and bool(parsed.host) and "%" not in parsed.host


def _without_password(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return an address without user and password, and these.

    Raises:
        Stop: it is no address.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Stop(f"--url: not an address ({error})") from None
    shown = str(parsed.copy_with(username="", password="")) if parsed.userinfo else url
    if not _is_address(shown):
        raise Stop(f"--url {shown}: it does not begin with https:// or http:// and a host")
    return shown, (parsed.username, parsed.password) if parsed.userinfo else None


def _begins_as_picture(content: bytes) -> bool:
    return content.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (
        content[:4] + content[8:12] == b"RIFFWEBP"
    )


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
