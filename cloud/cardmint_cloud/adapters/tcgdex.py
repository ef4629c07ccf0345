"""TCGdex over HTTP: one card's answer within a deadline, or a named reason why there is none."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from cardmint_cloud.domain.quotes import Quote, from_tcgdex
from cardmint_cloud.errors import CloudError, NotFound, Retry

MAX_BYTES = 1 << 20
DEADLINE_S = 5.0
ATTEMPTS = 4

_exactly = msgspec.json.Decoder(float_hook=Decimal)


class Unusable(CloudError):
    """The provider answered, but with nothing that is a card's record; asking again at once would not help."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unanswered(Retry):
    """The provider is busy or away; `retry_after_s` is what it asked for."""

    def __init__(self, reason: str, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Tcgdex:
    """The provider. `sleep` and `chance` (0 to 1) are what its retries wait with."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        *,
        deadline_s: float = DEADLINE_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._base_url = base_url.rstrip("/")
        self._deadline_s = deadline_s
        self._sleep = sleep
        self._chance = chance

    async def quotes(self, card_id: str, now: datetime) -> tuple[Quote, ...]:
        """Return the card's quotes; () when it has none.

        Raises:
            NotFound: the provider knows no such card.
            Unanswered: no answer within the deadline, or none to be had now.
            Unusable: an answer that is no card's record.
            quotes.Refused: a record that is not to be believed.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                body = await self._retried(card_id)
        except TimeoutError:
            raise Unanswered("timeout", f"no answer within {self._deadline_s:g} s") from None
        try:
            answer = _exactly.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError, RecursionError):
            raise Unusable("not-json", f"{len(body)} bytes that are not JSON") from None
        return from_tcgdex(answer, card_id, now)

    async def _retried(self, card_id: str) -> bytes:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(Unanswered),
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        body: bytes = await attempts(self._fetch, card_id)
        return body

    def _wait(self, state: RetryCallState) -> float:
        """Wait twice as long each time, from a quarter second, with as much again by chance; longer when asked to."""
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, Unanswered) else 0.0
        if asked > self._deadline_s and error is not None:
            raise error
        backoff: float = 0.25 * 2 ** (state.attempt_number - 1) * (1 + self._chance())
        return max(asked, backoff)

    async def _fetch(self, card_id: str) -> bytes:
        url = f"{self._base_url}/cards/{quote(card_id, safe='')}"
        try:
            async with self._client.stream("GET", url, follow_redirects=False) as response:
                self._check(response)
                return await _body(response)
        except httpx.TransportError as error:
            raise Unanswered("connection", f"{type(error).__name__}: {error}") from None
        except httpx.HTTPError as error:
            raise Unusable("not-http", f"{type(error).__name__}: {error}") from None

    @staticmethod
    def _check(response: httpx.Response) -> None:
        status = response.status_code
        if status == 404:
            raise NotFound("the provider knows no such card")
        if status == 429 or status >= 500:
            reason = "rate-limited" if status == 429 else f"http-{status}"
            raise Unanswered(reason, f"HTTP {status}", _retry_after(response))
        if response.is_redirect:
            raise Unusable("redirected", f"sent on to {response.headers.get('location', 'nowhere')[:200]}")
        if status != 200:
            raise Unusable(f"http-{status}", f"HTTP {status}")
        media = response.headers.get("content-type", "").split(";")[0].strip().lower()
        if media != "application/json":
            raise Unusable("not-json", f"content type {media[:60]!r}")


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Unusable("too-large", f"more than {MAX_BYTES} bytes")
    return bytes(body)


def _retry_after(response: httpx.Response) -> float:
    """Return the seconds that Retry-After asks for, in either of its two forms; 0 when it does not."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
        since = parsedate_to_datetime(response.headers.get("date", ""))
        return max(0.0, (until - since).total_seconds())
    except (ValueError, TypeError):
        return 0.0
