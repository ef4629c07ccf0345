"""TCGdex over HTTP: what comes back is quotes or a named reason, within the deadline."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from cardmint_cloud.adapters.tcgdex import MAX_BYTES, Tcgdex, Unanswered, Unusable
from cardmint_cloud.domain.quotes import Refused
from cardmint_cloud.errors import NotFound
from cardmint_cloud.standin.tcgdex import Fault, build

BASE = "http://127.0.0.1:9/v2/en"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
GOOD = {"id": "base1-4", "pricing": {"tcgplayer": {"unit": "USD", "holofoil": {"marketPrice": 402.79}}}}


class Script:
    """Answers in order, the last one again and again, and what was slept in between."""

    def __init__(self, *answers: httpx.Response | Callable[[httpx.Request], httpx.Response]) -> None:
        self.answers = list(answers)
        self.slept: list[float] = []
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.paths.append(request.url.raw_path.decode())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, httpx.Response) else answer(request)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def ask(self, card_id: str = "base1-4") -> Any:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self)) as client:
            return await Tcgdex(client, BASE, sleep=self.sleep, chance=lambda: 0.0).quotes(card_id, NOW)


def ok(value: object = GOOD) -> httpx.Response:
    return httpx.Response(200, json=value)


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


async def test_a_good_answer_is_its_quotes() -> None:
    script = Script(ok())
    (quote,) = await script.ask()
    assert (quote.minor, script.paths, script.slept) == (40279, ["/v2/en/cards/base1-4"], [])


async def test_a_busy_provider_is_asked_again_a_little_later_each_time() -> None:
    script = Script(refused, httpx.Response(503), httpx.Response(500, html="<h1>oops"), ok())
    assert await script.ask()
    assert script.slept == [0.25, 0.5, 1.0]


async def test_it_gives_up_after_a_few_times() -> None:
    script = Script(httpx.Response(503))
    with pytest.raises(Unanswered) as caught:
        await script.ask()
    assert (caught.value.reason, len(script.paths)) == ("http-503", 4)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:03 GMT", "date": "Sun, 22 Nov 2026 12:00:00 GMT"}, 3.0),
        ({"retry-after": "soon"}, 0.25),
        ({}, 0.25),
    ],
)
async def test_retry_after_is_honoured(headers: dict[str, str], expected: float) -> None:
    script = Script(httpx.Response(429, headers=headers), ok())
    await script.ask()
    assert script.slept == [expected]


async def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    script = Script(httpx.Response(429, headers={"retry-after": "3600"}))
    with pytest.raises(Unanswered) as caught:
        await script.ask()
    assert (caught.value.reason, script.slept, len(script.paths)) == ("rate-limited", [], 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(200, html="<title>Maintenance</title>"), "not-json"),
        (httpx.Response(200, content=b'{"id": "bas', headers={"content-type": "application/json"}), "not-json"),
        (httpx.Response(200, content=b"\xff\xfe", headers={"content-type": "application/json"}), "not-json"),
        (
            httpx.Response(200, content=b" " * (MAX_BYTES + 1), headers={"content-type": "application/json"}),
            "too-large",
        ),
        (
            httpx.Response(200, content=b"[" * 100_000, headers={"content-type": "application/json"}),
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
async def test_what_is_no_record_is_named_and_not_asked_again(answer: httpx.Response, reason: str) -> None:
    script = Script(answer)
    with pytest.raises(Unusable) as caught:
        await script.ask()
    assert (caught.value.reason, len(script.paths)) == (reason, 1)


async def test_an_unknown_card_is_not_found() -> None:
    with pytest.raises(NotFound):
        await Script(httpx.Response(404)).ask()


async def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    script = Script(httpx.Response(404))
    with pytest.raises(NotFound):
        await script.ask("../sets?x")
    assert script.paths == ["/v2/en/cards/..%2Fsets%3Fx"]


def transport(fault: Fault | None) -> httpx.ASGITransport:
    app: Any = build(fault=fault, slow_s=30)
    return httpx.ASGITransport(app)


@pytest.fixture
async def standin() -> AsyncIterator[Callable[[Fault | None], Tcgdex]]:
    clients: list[httpx.AsyncClient] = []

    def provider(fault: Fault | None) -> Tcgdex:
        client = httpx.AsyncClient(transport=transport(fault))
        clients.append(client)
        return Tcgdex(client, BASE, deadline_s=0.3 if fault == "slow" else 5, sleep=no_sleep)

    yield provider
    for client in clients:
        await client.aclose()


async def no_sleep(_: float) -> None:
    return


async def test_the_stand_in_prices_any_card_the_same_each_time(standin: Callable[[Fault | None], Tcgdex]) -> None:
    first = await standin(None).quotes("fic1-7", datetime.now(UTC))
    again = await standin(None).quotes("fic1-7", datetime.now(UTC))
    assert [q.minor for q in first] == [q.minor for q in again]
    assert {q.finish for q in first} == {"normal", "reverse_holo", "holo"}
    assert {q.currency for n in range(60) for q in await standin(None).quotes(f"a-{n}", datetime.now(UTC))} == {
        "USD",
        "EUR",
    }
    with pytest.raises(NotFound):
        await standin(None).quotes("missing-1", NOW)


@pytest.mark.parametrize(
    ("fault", "error", "reason"),
    [
        ("slow", Unanswered, "timeout"),
        ("rate-limited", Unanswered, "rate-limited"),
        ("broken", Unanswered, "http-500"),
        ("truncated", Unusable, "not-json"),
        ("garbage", Unusable, "not-json"),
        ("wrong-types", Refused, "wrong-type"),
        ("wrong-card", Refused, "wrong-card"),
    ],
)
async def test_each_fault_of_the_stand_in_has_its_name(
    standin: Callable[[Fault | None], Tcgdex], fault: Fault, error: type[Any], reason: str
) -> None:
    with pytest.raises(error) as caught:
        await standin(fault).quotes("fic1-7", datetime.now(UTC))
    assert caught.value.reason == reason


async def test_a_fault_can_befall_a_single_answer() -> None:
    async with httpx.AsyncClient(transport=transport(None), base_url=BASE) as client:
        assert (await client.get("/cards/fic1-7", params={"fault": "broken"})).status_code == 500
        assert json.loads((await client.get("/cards/fic1-7")).content)["id"] == "fic1-7"
