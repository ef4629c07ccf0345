"""JSON from a provider over HTTP.

One answer within a deadline, or a named reason why there is none.

A provider's key goes into the request and nowhere else: not into what is logged, raised, cached or
shown.
"""

import asyncio
import logging
import random
import time
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
"""The largest answer that is read: a large set's products in bulk are 2 MiB."""

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
    """The provider answered, but with nothing that can be read.

    Asking again at once would not help.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProviderUnavailable(RetryLater):
    """The provider is busy or away; `retry_after_s` is what it asked for."""

    def __init__(self, reason: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class CallWithheld(ProviderUnavailable):
    """The provider was not asked at all.

    Its breaker is open, or its rate or the day's budget is used up.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderRequest:
    """A request. `secret_…` carry a key; `optional` says that the request is good without them."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    secret_params: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    optional: bool = False

    @property
    def key(self) -> str:
        """What the request asks for, without any key."""
        return f"{self.path}?{urlencode(sorted(self.params.items()))}" if self.params else self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderAnswer:
    """What a provider said, decoded with its fractions as `Decimal`, and when it last did."""

    value: object
    at: datetime


class AnswerLoader(Protocol):
    """How a provider gets its answers.

    From the cache while they are fresh, else with all due care from the net.
    """

    async def __call__(
        self, ask: ProviderRequest, fresh_for: timedelta | None = None
    ) -> ProviderAnswer:
        """Return an answer not older than `fresh_for`, or as is usual.

        Raises NotFound, Unanswered or Unusable.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpAnswer:
    """An answer over HTTP: `body` is JSON, or empty when the status says that nothing changed since the validators."""

    status: int
    body: bytes = b""
    etag: str = ""
    last_modified: str = ""
    seconds: float = 0.0


async def without_waiting() -> None:
    """Let every attempt go."""


class ProviderHttp:
    """One provider's HTTP. `sleep` and `chance` (0 to 1) are what its retries wait with."""

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
        """Return the answer (200, or 304 for an unchanged one).

        `before` is awaited before each attempt.

        With `once` there is one attempt.

        Raises:
            NotFound: the provider knows no such thing.
            Unanswered: no answer within the deadline, or none to be had now.
            Unusable: an answer that is no JSON.
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
        """Wait for a chance part of a span that doubles each time (full jitter), and at least as long as asked to."""
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
            headers={**attempt.validators, **secret_headers},
        )
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                self._check(response)
                body = await _body(response)
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise ProviderUnavailable(
                "connection", f"{type(error).__name__} from {_host(self._base_url)}"
            ) from None
        except httpx.HTTPError as error:
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
    """Return JSON with its fractions as `Decimal`, straight from their digits.

    Raises:
        Unusable: it is none.
    """
    try:
        value: object = _exactly.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError):
        raise UnusableAnswer("not-json", f"{len(body)} bytes that are not JSON") from None
    return value


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise UnusableAnswer("too-large", f"more than {MAX_BYTES} bytes")
    return bytes(body)


def _host(url: str) -> str:
    """Return what may be shown of an address: its host."""
    try:
        return urlsplit(url).hostname or "nowhere"
    except ValueError:
        return "nowhere"


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that Retry-After asks for, in either of its two forms.

    0 when it does not.
    """
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
        since = parsedate_to_datetime(response.headers.get("date", ""))
        return max(0.0, (until - since).total_seconds())
    except (ValueError, TypeError):
        return 0.0
