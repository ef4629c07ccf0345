"""The price step on a real Postgres: due cards asked once, answers kept, failures put off, the last price kept."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from cardmint_cloud.adapters.tcgdex import Unanswered, Unusable
from cardmint_cloud.domain.quotes import Quote, Refused
from cardmint_cloud.errors import NotFound
from cardmint_cloud.local.processes import Child, free_port, listening
from cardmint_cloud.price import EVERY, LEASE, Priced, price_due

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def quote(minor: int, finish: str = "normal") -> Quote:
    return Quote(
        finish=finish, edition="", source="tcgdex/tcgplayer", basis="market", minor=minor, currency="USD", as_of=NOW
    )


class Answers:
    """A provider with an answer, or an error, for each card."""

    def __init__(self, **answers: Sequence[Quote] | Exception) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.busy = 0
        self.busiest = 0

    async def quotes(self, card_id: str, now: datetime) -> Sequence[Quote]:
        self.asked.append(card_id)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0)
        self.busy -= 1
        answer = self.answers.get(card_id, [])
        if isinstance(answer, Exception):
            raise answer
        return answer


async def due(pool: Any, *card_ids: str, at: datetime = NOW) -> None:
    for card_id in card_ids:
        await pool.execute("INSERT INTO price_checks (tenant, card_id, due_at) VALUES ('shop', $1, $2)", card_id, at)


async def check(pool: Any, card_id: str) -> Any:
    return await pool.fetchrow("SELECT * FROM price_checks WHERE card_id = $1", card_id)


async def test_a_due_card_is_priced_and_asked_about_again_tomorrow(pool: Any) -> None:
    heard: list[str] = []
    async with pool.acquire() as listener:
        await listener.add_listener("cardmint", lambda *args: heard.append(args[3]))
        await due(pool, "a")
        done = await price_due(pool, Answers(a=[quote(500), quote(900, "holo")]), NOW)
        assert done == Priced(asked=1, changed=1, failed=0)
        row = await check(pool, "a")
        assert (row["due_at"], row["attempts"], row["error"]) == (NOW + EVERY, 0, "")
        rows = await pool.fetch("SELECT finish, edition, minor, lowest FROM current_quotes ORDER BY 1, 2")
        assert ("", "", 500, True) in [tuple(row) for row in rows]
        assert ("holo", "", 900, False) in [tuple(row) for row in rows]
        assert heard == ["shop prices"]
        await listener.reset()


async def test_history_grows_only_when_something_changes(pool: Any) -> None:
    await due(pool, "a")
    for day, minor in enumerate([500, 500, 510, 500]):
        await price_due(pool, Answers(a=[quote(minor)]), NOW + day * EVERY)
    assert [row["minor"] for row in await pool.fetch("SELECT minor FROM quotes ORDER BY id")] == [500, 510, 500]
    fetched = await pool.fetchval("SELECT max(fetched_at) FROM current_quotes WHERE finish = 'normal'")
    assert fetched == NOW + 3 * EVERY


async def test_a_card_that_is_not_due_is_left_alone(pool: Any) -> None:
    await due(pool, "a", at=NOW + timedelta(seconds=1))
    provider = Answers(a=[quote(1)])
    assert await price_due(pool, provider, NOW) == Priced(asked=0, changed=0, failed=0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unanswered("timeout", "no answer"), "timeout: no answer"),
        (Unusable("not-json", "9 bytes"), "not-json: 9 bytes"),
        (Refused("negative", "marketPrice"), "negative: marketPrice"),
    ],
)
async def test_a_failure_keeps_the_last_price_and_waits_longer_each_time(
    pool: Any, error: Exception, said: str
) -> None:
    await due(pool, "a")
    await price_due(pool, Answers(a=[quote(500)]), NOW)
    now = NOW + EVERY
    waits = []
    for _ in range(6):
        assert (await price_due(pool, Answers(a=error), now)).failed == 1
        row = await check(pool, "a")
        waits.append((row["due_at"] - now) // timedelta(hours=1))
        now = row["due_at"]
    assert waits == [1, 2, 4, 8, 16, 24]
    assert (row["error"], row["attempts"]) == (said, 6)
    assert await pool.fetchval("SELECT minor FROM current_quotes WHERE finish = ''  AND edition = ''") == 500
    assert (await price_due(pool, Answers(a=[quote(1)]), now)).failed == 0
    assert (await check(pool, "a"))["attempts"] == 0


@pytest.mark.parametrize(("answer", "said"), [(NotFound("no such card"), "not-found"), ([], "no-price")])
async def test_a_card_without_a_price_is_no_failure_and_asked_about_daily(pool: Any, answer: Any, said: str) -> None:
    await due(pool, "a")
    assert await price_due(pool, Answers(a=answer), NOW) == Priced(asked=1, changed=0, failed=0)
    row = await check(pool, "a")
    assert (row["due_at"], row["attempts"], row["error"].split(":")[0]) == (NOW + EVERY, 0, said)


async def test_two_steps_at_once_ask_about_each_card_once(pool: Any) -> None:
    await due(pool, *(f"c{n}" for n in range(30)))
    provider = Answers()
    first, second = await asyncio.gather(price_due(pool, provider, NOW, 20), price_due(pool, provider, NOW, 20))
    assert sorted(provider.asked) == sorted({f"c{n}" for n in range(30)})
    assert first.asked + second.asked == 30


async def test_only_so_many_are_asked_at_once(pool: Any) -> None:
    await due(pool, *(f"c{n}" for n in range(20)))
    provider = Answers()
    await price_due(pool, provider, NOW, at_once=3)
    assert provider.busiest <= 3


async def test_what_a_killed_process_had_taken_comes_due_again(pool: Any) -> None:
    await due(pool, "a")

    class Killed(Answers):
        async def quotes(self, card_id: str, now: datetime) -> Sequence[Quote]:
            raise KeyError

    with pytest.raises(KeyError):
        await price_due(pool, Killed(), NOW)
    assert (await price_due(pool, Answers(), NOW)).asked == 0
    assert (await price_due(pool, Answers(), NOW + LEASE)).asked == 1


def test_the_stand_in_runs_as_a_command(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    port = free_port()
    code = "from cardmint_cloud.standin.command import stand_in; stand_in()"
    child = Child([sys.executable, "-c", code, "--port", str(port), "--fault", "wrong-card"], tmp_path / "log")
    request.addfinalizer(child.stop)
    child.wait_until(lambda: listening(port))
    assert httpx.get(f"http://127.0.0.1:{port}/v2/en/cards/fic1-7").json()["id"] == "another-1"
