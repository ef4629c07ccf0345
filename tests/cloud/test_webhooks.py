"""Webhooks: the feed sent in order to a target that fails, over a real Postgres."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from cardmint_cloud import webhooks as sending
from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.postgres import feed
from cardmint_cloud.adapters.postgres import webhooks as rows
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase, tenant_transaction
from cardmint_cloud.adapters.sealing import MasterKeys
from cardmint_cloud.adapters.webhook_http import WebhookHttp
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.domain.webhooks import PAUSES
from cardmint_cloud.errors import Conflict, NotFound, StopService
from cardmint_cloud.local.processes import accepts_connections, free_port
from cardmint_cloud.webhooks import BOTH_GOOD_FOR, MOST, Webhooks, send_webhooks
from tests.cloud.kit.accounts import MASTERS, accounts_of
from tests.cloud.kit.accounts import join as join_as
from tests.cloud.kit.cards import FOX, NOW, accepted, doubtful, send
from tests.cloud.kit.receiver import Receiver, receiving, status
from tests.cloud.test_feed import example

pytestmark = pytest.mark.integration

HTTP = WebhookHttp([ip_network("127.0.0.0/8")])


@dataclass
class Bench:
    """Webhooks of `shop`, a target, and a clock that the test moves."""

    pool: Pool
    webhooks: Webhooks
    target: Receiver
    by: UUID
    now = NOW

    async def happen(self, cards: int = 1, *, doubts: int = 0) -> None:
        """Let cards be counted, and questions be asked; number what the feed tells of it."""
        await send(self.pool, *(accepted() for _ in range(cards)))
        if doubts:
            await send(self.pool, *(doubtful() for _ in range(doubts)))
        async with tenant_transaction(self.pool, "shop") as connection:
            await feed.number_new(connection, "shop", 0)

    async def make(self, *kinds: str) -> tuple[UUID, str]:
        return await self.webhooks.make(self.target.url, kinds, by=self.by, now=self.now)

    async def send(self) -> int:
        """Send what is due; return how many requests that took."""
        before = len(self.target.requests)
        while await self.webhooks.send_due(lambda: self.now, lambda: 0.0):
            pass
        return len(self.target.requests) - before


@pytest.fixture
async def bench(pool: Pool) -> AsyncIterator[Bench]:
    accounts = accounts_of(pool)
    _, admin = await join_as(accounts, "owl", Role.ADMIN, NOW)
    async with receiving() as target:
        yield Bench(pool, Webhooks(accounts, HTTP), target, admin.account)


async def test_everything_from_then_on_comes_signed_and_in_order(bench: Bench) -> None:
    await bench.webhooks.make(bench.target.url, (), by=bench.by, now=NOW)
    (first,) = await bench.webhooks.list_all()
    await bench.webhooks.remove(first["webhook"], by=bench.by, now=NOW)
    await bench.happen(2)
    webhook, secret = await bench.make()
    assert await bench.send() == 0
    await bench.happen(3, doubts=1)
    assert await bench.send() == 4
    assert bench.target.numbers == [3, 4, 5, 6]
    assert bench.target.connections == 1
    bodies = [bench.target.verified(secret, at) for at in range(4)]
    assert {body["type"] for body in bodies[:3]} == {"cardmint.feed.item.added.v1"}
    assert bodies[3]["type"] == "cardmint.feed.review.opened.v1"
    assert {body["stream"] for body in bodies} == {bodies[0]["stream"]}
    identifiers = [headers["webhook-id"] for headers, _ in bench.target.requests]
    assert identifiers == [f"{bodies[0]['stream']}/{number}" for number in (3, 4, 5, 6)]
    listed = await bench.webhooks.deliveries(webhook)
    assert [(one["number"], one["status"]) for one in listed] == [(n, 200) for n in (6, 5, 4, 3)]
    with pytest.raises(AssertionError):
        bench.target.verified("whsec_" + "A" * 43 + "=")


async def test_only_the_kinds_that_were_asked_for_come(bench: Bench) -> None:
    _, secret = await bench.make("reviews", "prices")
    await bench.happen(5, doubts=2)
    assert await bench.send() == 2
    assert bench.target.numbers == [6, 7]
    assert bench.target.verified(secret)["type"] == "cardmint.feed.review.opened.v1"
    await bench.happen(3)
    assert await bench.send() == 0
    (one,) = await bench.webhooks.list_all()
    assert one["next"] == 11


async def test_a_failure_holds_the_next_ones_back_until_it_is_delivered(bench: Bench) -> None:
    webhook, _ = await bench.make()
    await bench.happen(3)
    bench.target.answers = [status(200), status(500, body="out of order"), status(302)]
    assert await bench.send() == 2
    assert await bench.send() == 0
    (one,) = await bench.webhooks.list_all()
    assert (one["next"], one["failures"], one["failed_at"]) == (2, 1, NOW)
    bench.now += timedelta(seconds=5)
    assert await bench.send() == 1
    bench.now += timedelta(minutes=5) - timedelta(seconds=1)
    assert await bench.send() == 0
    bench.now += timedelta(seconds=1)
    assert await bench.send() == 2
    assert bench.target.numbers == [1, 2, 2, 2, 3]
    assert len({headers["webhook-id"] for headers, _ in bench.target.requests}) == 3
    times = [int(headers["webhook-timestamp"]) for headers, _ in bench.target.requests]
    assert [time - times[0] for time in times] == [0, 0, 5, 305, 305]
    said = [one["answer"] for one in await bench.webhooks.deliveries(webhook)]
    assert said == ["ok", "ok", "", "out of order", ""]
    (one,) = await bench.webhooks.list_all()
    assert (one["next"], one["failures"], one["failed_at"]) == (4, 0, None)


async def test_after_three_days_of_failures_it_is_off_until_its_owner_lets_it_go_on(
    bench: Bench,
) -> None:
    webhook, _ = await bench.make()
    await bench.happen(2)
    bench.target.answers = [status(503)] * (len(PAUSES) + 1)
    with capture_logs() as logs:
        for pause in (*PAUSES, timedelta(days=300)):
            assert await bench.send() == 1
            bench.now += pause
    assert await bench.send() == 0
    (one,) = await bench.webhooks.list_all()
    assert one["off"] == "10 attempts failed within 76 hours"
    assert [log["event"] for log in logs if log["log_level"] == "warning"] == ["webhook off"]
    await bench.webhooks.replay(webhook, 1, bench.now)
    assert await bench.send() == 2
    assert bench.target.numbers[-2:] == [1, 2]


async def test_a_target_that_is_gone_gets_nothing_more(bench: Bench) -> None:
    await bench.make()
    await bench.happen(2)
    bench.target.answers = [status(410)]
    assert await bench.send() == 1
    bench.now += timedelta(days=9)
    assert await bench.send() == 0


async def test_what_was_delivered_is_sent_again_when_asked_for(bench: Bench) -> None:
    webhook, secret = await bench.make()
    await bench.happen(3)
    await bench.send()
    again = await bench.webhooks.resend(webhook, 2, NOW)
    assert (again.status, bench.target.verified(secret)["sequence"]) == (200, f"{2:019}")
    await bench.webhooks.replay(webhook, 2, NOW)
    assert await bench.send() == 2
    await bench.webhooks.replay(webhook, 4, NOW)
    assert await bench.send() == 0
    for number in (0, 5, 10**9):
        with pytest.raises(Conflict, match="1 to 3 are kept"):
            await bench.webhooks.replay(webhook, number, NOW)
        with pytest.raises(NotFound):
            await bench.webhooks.resend(webhook, number, NOW)


async def test_a_test_is_no_event(bench: Bench) -> None:
    webhook, secret = await bench.make()
    with pytest.raises(Conflict, match="none is kept"):
        await bench.webhooks.replay(webhook, 7, NOW)
    assert (await bench.webhooks.test(webhook, NOW)).status == 200
    told = bench.target.verified(secret)
    assert (told["type"], int(told["sequence"])) == ("cardmint.webhook.test.v1", 0)
    assert bench.target.requests[0][0]["webhook-id"].startswith("test/")


async def test_for_a_day_both_secrets_sign(bench: Bench) -> None:
    webhook, old = await bench.make()
    new = await bench.webhooks.rotate(webhook, by=bench.by, now=bench.now)
    newer = await bench.webhooks.rotate(webhook, by=bench.by, now=bench.now)
    await bench.webhooks.test(webhook, bench.now)
    for secret in (old, new, newer):
        bench.target.verified(secret)
    bench.now += BOTH_GOOD_FOR
    await bench.webhooks.test(webhook, bench.now)
    headers, _ = bench.target.requests[-1]
    assert len(headers["webhook-signature"].split()) == 1
    await bench.webhooks.rotate(webhook, by=bench.by, now=bench.now)
    async with tenant_transaction(bench.pool, "shop") as connection:
        assert len(await rows.list_secrets(connection, "shop", but="")) == 2


async def test_what_was_forgotten_meanwhile_is_a_gap(bench: Bench) -> None:
    await bench.make()
    await bench.happen(2)
    bench.target.answers = [status(500)]
    await bench.send()
    await bench.happen(1)
    bench.now += timedelta(days=31)
    async with tenant_transaction(bench.pool, "shop") as connection:
        await feed.put_published(connection, "shop", 2)
        await feed.forget_before(connection, "shop", bench.now)
    assert await bench.send() == 1
    assert bench.target.numbers == [1, 3]
    async with tenant_transaction(bench.pool, "shop") as connection:
        await feed.put_published(connection, "shop", 3)
        await feed.forget_before(connection, "shop", bench.now)
    (one,) = await bench.webhooks.list_all()
    await rows.set_next(TenantDatabase(bench.pool, "shop"), "shop", one["webhook"], 2, bench.now)
    assert await bench.send() == 0


async def test_two_dashboards_send_each_event_once(bench: Bench) -> None:
    await bench.make()
    await bench.happen(20)
    both = [Webhooks(accounts_of(bench.pool), HTTP) for _ in range(2)]
    found = await asyncio.gather(*(one.send_due(lambda: NOW, lambda: 0.0) for one in both))
    assert sorted(found) == [False, True]
    assert bench.target.numbers == [*range(1, 21)]


async def test_after_a_crash_another_dashboard_goes_on_when_the_lease_ends(bench: Bench) -> None:
    await bench.make()
    await bench.happen(2)
    assert await rows.take_due(TenantDatabase(bench.pool, "shop"), "shop", bench.now)
    assert await bench.send() == 0
    bench.now += rows.LEASE
    assert await bench.send() == 2


async def test_one_that_is_moved_or_removed_while_it_is_sent_stays_so(bench: Bench) -> None:
    webhook, _ = await bench.make()
    await bench.happen(3)
    done: list[asyncio.Task[None]] = []

    def move() -> None:
        bench.target.before = lambda: None
        done.append(asyncio.create_task(bench.webhooks.replay(webhook, 3, NOW)))

    bench.target.before = move
    bench.target.answers = [status(500)]
    await bench.send()
    await asyncio.gather(*done)
    bench.now += timedelta(seconds=6)
    await bench.send()
    assert bench.target.numbers[-1] == 3
    (one,) = await bench.webhooks.list_all()
    assert one["next"] == 4

    def remove() -> None:
        bench.target.before = lambda: None
        done.append(asyncio.create_task(bench.webhooks.remove(webhook, by=bench.by, now=NOW)))

    await bench.happen(2)
    bench.target.before = remove
    await bench.send()
    await asyncio.gather(*done)
    assert await bench.webhooks.list_all() == []
    assert await bench.send() == 0


async def test_a_slow_one_gives_others_their_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TURN_S", 0.0)
    await bench.make()
    await bench.happen(3)
    assert await bench.webhooks.send_due(lambda: NOW, lambda: 0.0)
    assert bench.target.requests == []


@pytest.mark.parametrize("url", ["", "shop", "ftp://a/", "https://u:p@a/"])
async def test_a_wrong_address_is_said(bench: Bench, url: str) -> None:
    with pytest.raises(Conflict, match="That address cannot be used"):
        await bench.webhooks.make(url, (), by=bench.by, now=NOW)


async def test_an_unknown_kind_and_one_too_many_are_said(bench: Bench) -> None:
    with pytest.raises(Conflict, match="cards is no kind: there are inventory, prices, reviews"):
        await bench.make("cards")
    for _ in range(MOST):
        await bench.make()
    with pytest.raises(Conflict, match="remove one first"):
        await bench.make()


async def test_what_is_not_there_is_said(bench: Bench) -> None:
    nobody = uuid4()
    with pytest.raises(NotFound):
        await bench.webhooks.remove(nobody, by=bench.by, now=NOW)
    with pytest.raises(NotFound):
        await bench.webhooks.rotate(nobody, by=bench.by, now=NOW)
    for act in (bench.webhooks.resend(nobody, 1, NOW), bench.webhooks.test(nobody, NOW)):
        with pytest.raises(NotFound):
            await act


async def test_secrets_follow_the_master_key(bench: Bench) -> None:
    webhook, secret = await bench.make()
    renewed = MASTERS.with_new()
    vault = Accounts(bench.pool, "shop", renewed).vault
    async with tenant_transaction(bench.pool, "shop") as connection:
        assert await vault.wrap_again(connection) == 2  # The admin's key, and the secret.
        assert await vault.wrap_again(connection) == 0
    after = Webhooks(Accounts(bench.pool, "shop", renewed), HTTP)
    await after.test(webhook, NOW)
    bench.target.verified(secret)
    stranger = Accounts(bench.pool, "shop", MasterKeys.new())
    with pytest.raises(StopService, match="master key"):
        await stranger.vault.check(bench.pool)
    await bench.happen(1)
    with capture_logs() as logs:
        endless = asyncio.create_task(send_webhooks(Webhooks(stranger, HTTP), lambda: NOW))
        async with asyncio.timeout(20):
            while not logs:  # noqa: ASYNC110  # a log has no event
                await asyncio.sleep(0.01)
        endless.cancel()
    assert "master key" in logs[0]["why"]


async def test_they_are_sent_until_the_dashboard_ends(bench: Bench) -> None:
    await bench.make()
    await bench.happen(1)
    endless = asyncio.create_task(send_webhooks(bench.webhooks, lambda: NOW))
    came = asyncio.Event()
    bench.target.before = came.set
    async with asyncio.timeout(20):
        await came.wait()
    endless.cancel()


async def test_the_example_tells_of_each_new_card(bench: Bench, tmp_path: Path) -> None:
    port = free_port()
    target = f"http://127.0.0.1:{port}/"
    _, secret = await bench.webhooks.make(target, (), by=bench.by, now=NOW)
    program = example("notifier", tmp_path)
    notifier = await asyncio.create_subprocess_exec(
        sys.executable, program, str(port), secret, stdout=subprocess.PIPE
    )
    try:
        assert notifier.stdout is not None
        async with asyncio.timeout(60):
            while not accepts_connections(port):  # noqa: ASYNC110  # a port has no event
                await asyncio.sleep(0.05)
        await bench.happen(1, doubts=1)
        now = datetime.now(UTC)
        while await bench.webhooks.send_due(lambda: now, lambda: 0.0):
            pass
        async with asyncio.timeout(60):
            assert await notifier.stdout.readline() == f"New: {FOX.name}\n".encode()
    finally:
        notifier.kill()
        await notifier.wait()
    (one,) = await bench.webhooks.list_all()
    assert (one["next"], one["failures"]) == (3, 0)
