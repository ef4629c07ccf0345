"""JSON over HTTP: an answer or a named reason within the deadline; no key is ever shown."""

import asyncio
import gzip
import logging
import tracemalloc
import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.adapters.providers.http import (
    MAX_BYTES,
    MAX_VALUES,
    CallWithheld,
    HttpAnswer,
    ProviderHttp,
    ProviderRequest,
    ProviderUnavailable,
    UnusableAnswer,
    decode_json,
)
from cardmint_cloud.errors import NotFound

BASE = "http://127.0.0.1:9/v2/en"
GOOD = {"price": 402.79}


def unread(answer: httpx.Response) -> httpx.Response:
    """Return an answer as it comes from a socket: its body is read only later."""
    if not answer.is_closed:
        return answer
    stream = httpx.ByteStream(answer.content)
    return httpx.Response(answer.status_code, headers=answer.headers, stream=stream)


class Script:
    """Answers in order, the last one again and again, and what was slept in between."""

    def __init__(
        self, *answers: httpx.Response | Callable[[httpx.Request], httpx.Response]
    ) -> None:
        self.answers = list(answers)
        self.slept: list[float] = []
        self.paths: list[str] = []
        self.encodings: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.encodings.append(request.headers["accept-encoding"])
        self.paths.append(request.url.raw_path.decode())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return unread(answer if isinstance(answer, httpx.Response) else answer(request))

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def fetch(
        self,
        ask: ProviderRequest,
        *,
        chance: Callable[[], float] | None = None,
        attempts: int = 4,
        **more: Any,
    ) -> HttpAnswer:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
            fetcher = ProviderHttp(
                client, BASE, sleep=self.sleep, chance=chance or (lambda: 0.5), attempts=attempts
            )
            return await fetcher.fetch(ask, **more)


def ok(value: object = GOOD) -> httpx.Response:
    return httpx.Response(200, json=value)


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


async def test_a_good_answer_is_its_json_with_exact_fractions() -> None:
    script = Script(ok())
    fetched = await script.fetch(ProviderRequest(path="/cards/base1-4"))
    assert (fetched.status, script.paths, script.slept) == (200, ["/v2/en/cards/base1-4"], [])
    assert decode_json(fetched.body) == {"price": Decimal("402.79")}


async def test_a_busy_provider_is_asked_again_a_little_later_each_time() -> None:
    script = Script(refused, httpx.Response(503), httpx.Response(500, html="<h1>oops"), ok())
    assert (await script.fetch(ProviderRequest(path="/x"))).status == 200
    assert script.slept == [0.25, 0.5, 1.0]


async def test_it_gives_up_after_a_few_times() -> None:
    script = Script(httpx.Response(503))
    with pytest.raises(ProviderUnavailable) as caught:
        await script.fetch(ProviderRequest(path="/x"))
    assert (caught.value.reason, len(script.paths)) == ("http-503", 4)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "2"}, 2.0),
        (
            {
                "retry-after": "Sun, 22 Nov 2026 12:00:03 GMT",
                "date": "Sun, 22 Nov 2026 12:00:00 GMT",
            },
            3.0,
        ),
        ({"retry-after": "soon"}, 0.25),
        ({}, 0.25),
    ],
)
async def test_retry_after_is_honoured(headers: dict[str, str], expected: float) -> None:
    script = Script(httpx.Response(429, headers=headers), ok())
    await script.fetch(ProviderRequest(path="/x"))
    assert script.slept == [expected]


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "999999999"},
        {"retry-after": "9" * 400},
        {
            "retry-after": "Sun, 22 Nov 2099 12:00:00 GMT",
            "date": "Sun, 22 Nov 2026 12:00:00 GMT",
        },
    ],
)
async def test_no_pause_is_longer_than_a_day(headers: dict[str, str]) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        await Script(httpx.Response(503, headers=headers)).fetch(ProviderRequest(path="/x"))
    assert caught.value.retry_after_s == 86_400


def encoded(body: bytes, encoding: str) -> httpx.Response:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    return httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))


async def test_one_encoding_is_undone() -> None:
    script = Script(lambda _: encoded(gzip.compress(b'{"price": 1}'), "GZIP"))
    assert (await script.fetch(ProviderRequest(path="/x"))).body == b'{"price": 1}'
    assert script.encodings == ["gzip"]


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (gzip.compress(gzip.compress(bytes(1 << 28))), "gzip, gzip", "encoding"),
        (gzip.compress(gzip.compress(bytes(1 << 28))), "gzip", "not-json"),
        (gzip.compress(bytes(1 << 28)), "gzip", "too-large"),
        (zlib.compress(b"{}"), "deflate", "encoding"),
        (b"{}", "br", "encoding"),
        (gzip.compress(b'{"price": 1}')[:-9], "gzip", "not-http"),
        (b"[" + b"{}," * (MAX_VALUES // 2) + b"1]", "identity", "too-large"),
    ],
    ids=["two", "two-as-one", "a-bomb", "deflate", "brotli", "cut", "values"],
)
async def test_an_answer_is_bounded_while_it_is_decoded(
    body: bytes, encoding: str, reason: str
) -> None:
    script = Script(lambda _: encoded(body, encoding))
    tracemalloc.start()
    try:
        with pytest.raises(UnusableAnswer) as caught:
            await script.fetch(ProviderRequest(path="/x"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.reason == reason
    assert peak < 3 * MAX_BYTES


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    script = Script(httpx.Response(429, headers={"retry-after": "3600"}))
    with pytest.raises(ProviderUnavailable) as caught:
        await script.fetch(ProviderRequest(path="/x"))
    assert (caught.value.reason, script.slept, len(script.paths)) == ("rate-limited", [], 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(200, html="<title>Maintenance</title>"), "not-json"),
        (
            httpx.Response(
                200, content=b'{"id": "bas', headers={"content-type": "application/json"}
            ),
            "not-json",
        ),
        (
            httpx.Response(200, content=b"\xff\xfe", headers={"content-type": "application/json"}),
            "not-json",
        ),
        (
            httpx.Response(
                200, content=b" " * (MAX_BYTES + 1), headers={"content-type": "application/json"}
            ),
            "too-large",
        ),
        (
            httpx.Response(
                200, content=b"[" * 100_000, headers={"content-type": "application/json"}
            ),
            "not-json",
        ),
        (httpx.Response(302, headers={"location": "https://elsewhere.example/"}), "redirected"),
        (httpx.Response(403), "http-403"),
        (
            httpx.Response(
                200,
                stream=httpx.ByteStream(
                    b"no gzip at all"
                ),  # read, and found not to be gzip, only later, as from a socket
                headers={"content-type": "application/json", "content-encoding": "gzip"},
            ),
            "not-http",
        ),
    ],
)
async def test_what_is_no_record_is_named_and_not_asked_again(
    answer: httpx.Response, reason: str
) -> None:
    script = Script(answer)
    with pytest.raises(UnusableAnswer) as caught:
        await script.fetch(ProviderRequest(path="/x"))
    assert (caught.value.reason, len(script.paths)) == (reason, 1)


async def test_an_unknown_card_is_not_found() -> None:
    with pytest.raises(NotFound):
        await Script(httpx.Response(404)).fetch(ProviderRequest(path="/x"))


SECRET = "a-key-that-nobody-may-see"


def secretive(**more: Any) -> ProviderRequest:
    return ProviderRequest(
        path="/cards", secret_params={"t": SECRET}, secret_headers={"x-api-key": SECRET}, **more
    )


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(403),
        httpx.Response(500),
        httpx.Response(302, headers={"location": f"https://elsewhere.example/?t={SECRET}"}),
        httpx.Response(302, headers={"location": f"http://[{SECRET}"}),
        httpx.Response(200, html=f"<p>{SECRET}"),
        httpx.Response(200, content=b"{", headers={"content-type": "application/json"}),
        refused,
        lambda request: (_ for _ in ()).throw(
            httpx.ReadError(f"reading {request.url}", request=request)
        ),
        lambda request: (_ for _ in ()).throw(
            httpx.DecodingError(f"reading {request.url}", request=request)
        ),
    ],
)
async def test_a_key_is_in_no_error_and_no_log(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    script = Script(answer)
    with pytest.raises((ProviderUnavailable, UnusableAnswer)) as caught:
        await script.fetch(secretive())
    assert SECRET in script.paths[0]  # It was sent.
    shown = [str(caught.value), repr(caught.value), repr(secretive()), secretive().key, caplog.text]
    assert not [text for text in shown if SECRET in text]


async def test_after_a_500_the_key_is_left_out_when_it_may_be() -> None:
    def keyless(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if "x-api-key" in request.headers else ok()

    script = Script(keyless)
    assert (await script.fetch(secretive(optional=True))).status == 200
    assert [SECRET in path for path in script.paths] == [True, False]
    with pytest.raises(ProviderUnavailable):
        await Script(keyless).fetch(secretive())


async def test_an_unchanged_answer_is_not_sent_again() -> None:
    def tagged(request: httpx.Request) -> httpx.Response:
        known = (
            request.headers.get("if-none-match") == '"a"' or "if-modified-since" in request.headers
        )
        return (
            httpx.Response(304) if known else httpx.Response(200, json={}, headers={"etag": '"a"'})
        )

    first = await Script(tagged).fetch(ProviderRequest(path="/x"))
    assert (first.status, first.etag, first.body) == (200, '"a"', b"{}")
    assert (await Script(tagged).fetch(ProviderRequest(path="/x"), etag=first.etag)).status == 304
    assert (
        await Script(tagged).fetch(
            ProviderRequest(path="/x"), last_modified="Sun, 22 Nov 2026 12:00:00 GMT"
        )
    ).status == 304


async def test_every_attempt_waits_for_its_turn_and_what_is_withheld_is_not_tried_again() -> None:
    turns: list[int] = []

    async def turn() -> None:
        turns.append(len(turns))
        if len(turns) == 3:
            raise CallWithheld("paced", "later", 60)

    with pytest.raises(CallWithheld):
        await Script(httpx.Response(503)).fetch(ProviderRequest(path="/x"), before=turn)
    assert turns == [0, 1, 2]


async def test_the_deadline_holds_over_all_attempts() -> None:
    async def hangs(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(hangs)) as client:
        with pytest.raises(ProviderUnavailable) as caught:
            await ProviderHttp(client, BASE, deadline_s=0.05).fetch(ProviderRequest(path="/x"))
    assert caught.value.reason == "timeout"


@given(st.floats(min_value=0, max_value=1), st.integers(min_value=1, max_value=6))
def test_waits_are_spread_over_a_span_that_doubles(chance: float, failures: int) -> None:
    script = Script(*[httpx.Response(503)] * failures, ok())
    asyncio.run(script.fetch(ProviderRequest(path="/x"), chance=lambda: chance, attempts=8))
    assert script.slept == [pytest.approx(0.25 * 2**n * chance) for n in range(1, failures + 1)]
