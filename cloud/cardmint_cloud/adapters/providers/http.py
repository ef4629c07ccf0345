"""JSON from a provider over HTTP: one answer within a deadline, or a named error.

A provider's key goes into the request only. It is never logged, raised, cached or shown.
"""

import asyncio
import logging
import random
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from cardmint_cloud.errors import CloudError, NotFound, RetryLater

MAX_BYTES = 8 << 20
MAX_VALUES = 400_000
"""Most bytes and JSON values of an answer that is read. The products of a large set are 2 MiB."""

ENCODING = "gzip"
"""The one content encoding that is asked for and taken; it is undone piece by piece."""

LONGEST_PAUSE_S = 86_400.0
"""The most that `Retry-After` is believed."""

DEADLINE_S = 5.0
ATTEMPTS = 4
_FIRST_WAIT_S = 0.25

_exactly = msgspec.json.Decoder(float_hook=Decimal)

for _name in (
    "httpx",
    "httpcore",
):  # Their lines carry whole addresses and headers, and keys are in those.
    logging.getLogger(_name).setLevel(logging.WARNING)


class UnusableAnswer(CloudError):
    """The provider's answer cannot be read; asking again at once would not help."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProviderUnavailable(RetryLater):
    """The provider is busy or away; `retry_after_s` is the pause that it asked for."""

    def __init__(self, reason: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class CallWithheld(ProviderUnavailable):
    """The provider was not called: breaker, rate limit or daily budget did not allow it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderRequest:
    """A request. `secret_…` carry a key; with `optional` it also works without them."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    secret_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    optional: bool = False

    @property
    def key(self) -> str:
        """The request without any key, as the cache's key."""
        return f"{self.path}?{urlencode(sorted(self.params.items()))}" if self.params else self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderAnswer:
    """A provider's answer, with fractions as `Decimal`, and when it was last confirmed."""

    value: object
    at: datetime


class AnswerLoader(Protocol):
    """Loads an answer from the cache while it is fresh, else from the provider."""

    async def __call__(
        self, ask: ProviderRequest, fresh_for: timedelta | None = None
    ) -> ProviderAnswer:
        """Return an answer not older than `fresh_for`; None means the usual age.

        Raises NotFound, ProviderUnavailable or UnusableAnswer.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpAnswer:
    """An HTTP answer: `body` is JSON, or empty for an unchanged one (304)."""

    status: int
    body: bytes = b""
    etag: str = ""
    last_modified: str = ""
    seconds: float = 0.0


async def without_waiting() -> None:
    """Allow every attempt at once."""


class ProviderHttp:
    """HTTP calls to one provider. Retries wait with `sleep` and draw pauses with `chance`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        *,
        deadline_s: float = DEADLINE_S,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._deadline_s = deadline_s
        self._attempts = attempts
        self._sleep = sleep
        self._chance = chance

    async def fetch(
        self,
        ask: ProviderRequest,
        *,
        etag: str = "",
        last_modified: str = "",
        before: Callable[[], Awaitable[None]] = without_waiting,
        once: bool = False,
    ) -> HttpAnswer:
        """Return the answer: 200, or 304 when it is unchanged.

        `before` is awaited before each attempt. With `once` there is one attempt.

        Raises:
            NotFound: the provider has no such thing.
            ProviderUnavailable: no answer within the deadline, or none for now.
            UnusableAnswer: the answer is not JSON.
        """
        validators = {"if-none-match": etag, "if-modified-since": last_modified}
        attempt = _Attempt(
            ask, {name: value for name, value in validators.items() if value}, before
        )
        retried = AsyncRetrying(
            retry=retry_if_exception(lambda error: type(error) is ProviderUnavailable),
            stop=stop_after_attempt(1 if once else self._attempts),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._deadline_s):
                fetched: HttpAnswer = await retried(self._exchange, attempt)
                return fetched
        except TimeoutError:
            raise ProviderUnavailable(
                "timeout", f"no answer within {self._deadline_s:g} s"
            ) from None

    def _wait(self, state: RetryCallState) -> float:
        """Return a random part of a span that doubles (full jitter), at least the asked pause."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, ProviderUnavailable) else 0.0
        if asked > self._deadline_s and error is not None:
            raise error
        span: float = _FIRST_WAIT_S * 2**state.attempt_number
        return max(asked, span * self._chance())

    async def _exchange(self, attempt: "_Attempt") -> HttpAnswer:
        await attempt.before()
        started = time.monotonic()
        ask = attempt.ask
        secret_params, secret_headers = (
            ({}, {}) if attempt.keyless else (ask.secret_params, ask.secret_headers)
        )
        request = self._client.build_request(
            "GET",
            self._base_url + ask.path,
            params={**ask.params, **secret_params},
            headers={"accept-encoding": ENCODING, **attempt.validators, **secret_headers},
        )
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                self._check(response)
                body = b"" if response.status_code == 304 else await _body(response)
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise ProviderUnavailable(
                "connection", f"{type(error).__name__} from {_host(self._base_url)}"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error) as error:
            raise UnusableAnswer(
                "not-http", f"{type(error).__name__} from {_host(self._base_url)}"
            ) from None
        except ProviderUnavailable as error:
            # One provider answers 500 to every request that carries its own key.
            attempt.keyless = attempt.keyless or (ask.optional and error.reason == "http-500")
            raise
        if response.status_code != 304:
            decode_json(body)
        return HttpAnswer(
            status=response.status_code,
            body=body,
            etag=response.headers.get("etag", "")[:500],
            last_modified=response.headers.get("last-modified", "")[:100],
            seconds=time.monotonic() - started,
        )

    @staticmethod
    def _check(response: httpx.Response) -> None:
        status = response.status_code
        if status == 404:
            raise NotFound("the provider knows no such card")
        if status == 429 or status >= 500:
            reason = "rate-limited" if status == 429 else f"http-{status}"
            raise ProviderUnavailable(reason, f"HTTP {status}", _retry_after(response))
        if status == 304:
            return
        if response.is_redirect:
            raise UnusableAnswer(
                "redirected", f"sent on to {_host(response.headers.get('location', ''))}"
            )
        if status != 200:
            raise UnusableAnswer(f"http-{status}", f"HTTP {status}")
        media = response.headers.get("content-type", "").split(";")[0].strip().lower()
        if media != "application/json":
            raise UnusableAnswer("not-json", f"content type {media[:60]!r}")


@dataclass(slots=True)
class _Attempt:
    ask: ProviderRequest
    validators: dict[str, str]
    before: Callable[[], Awaitable[None]]
    keyless: bool = False


def decode_json(body: bytes) -> object:
    """Return JSON with its fractions as `Decimal`, from their digits.

    Raises:
        UnusableAnswer: it is not JSON, or of more values than are read.
    """
    if sum(body.count(sign) for sign in b"[{,") > MAX_VALUES:
        raise UnusableAnswer("too-large", f"more than {MAX_VALUES} values")
    try:
        value: object = _exactly.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError):
        raise UnusableAnswer("not-json", f"{len(body)} bytes that are not JSON") from None
    return value


async def _body(response: httpx.Response) -> bytes:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity", ENCODING}:
        raise UnusableAnswer("encoding", f"content encoding {encoding[:60]!r}, not {ENCODING}")
    # `wbits` 31: with the header and the check sum of gzip.
    inflater = zlib.decompressobj(31) if encoding == ENCODING else None
    body = bytearray()
    async for chunk in response.aiter_raw():
        left = MAX_BYTES + 1 - len(body)
        body += inflater.decompress(chunk, left) if inflater else chunk
        if len(body) > MAX_BYTES:
            raise UnusableAnswer("too-large", f"more than {MAX_BYTES} bytes")
    if inflater and not inflater.eof:
        raise UnusableAnswer("not-http", "the answer ends within its gzip encoding")
    return bytes(body)


def _host(url: str) -> str:
    """Return the host of an address, the only part that may be shown."""
    try:
        return urlsplit(url).hostname or "nowhere"
    except ValueError:
        return "nowhere"


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that Retry-After asks for, in either of its forms; 0 without it.

    At most a day: a longer pause is taken for a mistake.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_PAUSE_S)
    try:
        until = parsedate_to_datetime(text)
        since = parsedate_to_datetime(response.headers.get("date", ""))
        return min(max(0.0, (until - since).total_seconds()), LONGEST_PAUSE_S)
    except (ValueError, TypeError, OverflowError):
        return 0.0
