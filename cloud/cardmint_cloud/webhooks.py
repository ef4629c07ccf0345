"""Webhooks: the feed sent by HTTP, signed, in order, tried again, and switched off after days.

A webhook has a place in the feed, and its dashboard sends event by event from there. The next one
waits until the one before is delivered, so that a target gets them in order. Secrets are sealed by
the master keys, as personal data is.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import structlog
from msgspec import Raw

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.postgres import feed
from cardmint_cloud.adapters.postgres import webhooks as rows
from cardmint_cloud.adapters.postgres.feed import NumberedEntry, StoredEntry
from cardmint_cloud.adapters.postgres.retry import retry_until_done
from cardmint_cloud.adapters.postgres.webhooks import Place
from cardmint_cloud.adapters.webhook_http import Attempt, TargetConnection, WebhookHttp
from cardmint_cloud.audit import Action
from cardmint_cloud.domain.webhooks import (
    outcome_of,
    secret_text,
    signatures,
    target_of,
)
from cardmint_cloud.errors import Conflict, NotFound, StopService
from cardmint_contracts.envelope import digits
from cardmint_contracts.feed import FEED_TYPES, WEBHOOK_TEST, WebhookMessage
from cardmint_contracts.wire import encode

KINDS = tuple(sorted({kind.steps.split("/")[0] for kind in FEED_TYPES.values()}))
"""What a webhook may be limited to."""

MOST = 20
"""Webhooks of a tenant."""

BOTH_GOOD_FOR = timedelta(hours=24)
"""How long the secret before is good besides the new one."""

TURN_S = 60.0
"""Seconds for which one webhook sends before others have their turn, within its lease."""

EVERY_S = 1.0
MISSING_KEY_S = 60.0
"""Seconds after which it is tried again where a master key is missing."""

_log = structlog.get_logger(__name__)


class Webhooks:
    """The webhooks of one tenant."""

    def __init__(self, accounts: Accounts, http: WebhookHttp) -> None:
        self._accounts, self._http = accounts, http
        self._database, self._tenant = accounts.database, accounts.tenant

    async def list_all(self) -> list[Any]:
        """Return the webhooks, the oldest first."""
        return await rows.list_all(self._database, self._tenant)

    async def find(self, webhook: UUID) -> Any:
        """Return a webhook.

        Raises:
            NotFound: there is no such webhook.
        """
        found = await rows.find(self._database, self._tenant, webhook)
        if found is None:
            raise NotFound("There is no such webhook.")
        return found

    async def deliveries(self, webhook: UUID) -> list[Any]:
        """Return the last attempts of a webhook, the newest first."""
        return await rows.deliveries(self._database, self._tenant, webhook)

    async def kept(self) -> tuple[int, int]:
        """Return the numbers of the oldest and the newest event of the feed that are kept.

        Both are 0 where there is none.
        """
        async with self._database.transaction() as connection:
            mark = await feed.mark_of(connection, self._tenant)
            oldest = await feed.oldest_number(connection, self._tenant)
        return (oldest, mark.numbered) if mark and oldest else (0, 0)

    async def make(
        self, url: str, kinds: Sequence[str], *, by: UUID, now: datetime
    ) -> tuple[UUID, str]:
        """Add a webhook that gets what happens from now on; return it and its secret.

        `kinds` are among `KINDS`; none means all. Opens the feed.

        Raises:
            Conflict: the address or a kind cannot be used, or there are too many.
        """
        try:
            why = self._http.refusal_of(target_of(url))
        except ValueError as error:
            why = str(error)
        if why is not None:
            raise Conflict(f"That address cannot be used: {why}.")
        if unknown := sorted(set(kinds) - set(KINDS)):
            raise Conflict(f"{unknown[0][:40]} is no kind: there are {', '.join(KINDS)}.")
        webhook = uuid4()
        async with self._database.transaction() as connection:
            await feed.open_feed(connection, self._tenant, now)
            if len(await rows.list_all(connection, self._tenant)) >= MOST:
                raise Conflict(f"There are {MOST} webhooks: remove one first.")
            await rows.add(
                connection, self._tenant, webhook, url=url, kinds=sorted(set(kinds)), now=now
            )
            secret = await self._accounts.vault.add_secret(connection, webhook, now)
            await self._accounts.audit.add(
                connection, Action.WEBHOOK_MADE, by=by, now=now, webhook=str(webhook)
            )
        return webhook, secret_text(secret)

    async def rotate(self, webhook: UUID, *, by: UUID, now: datetime) -> str:
        """Return a new secret; for a day, what is sent is signed by the one before, too.

        Raises:
            NotFound: there is no such webhook.
        """
        await self.find(webhook)
        async with self._database.transaction() as connection:
            await rows.end_secrets(
                connection, self._tenant, webhook, now=now, ends_at=now + BOTH_GOOD_FOR
            )
            secret = await self._accounts.vault.add_secret(connection, webhook, now)
            await self._accounts.audit.add(
                connection, Action.WEBHOOK_ROTATED, by=by, now=now, webhook=str(webhook)
            )
        return secret_text(secret)

    async def remove(self, webhook: UUID, *, by: UUID, now: datetime) -> None:
        """Remove a webhook and what is known of its deliveries.

        Raises:
            NotFound: there is no such webhook.
        """
        async with self._database.transaction() as connection:
            if not await rows.remove(connection, self._tenant, webhook):
                raise NotFound("There is no such webhook.")
            await self._accounts.audit.add(
                connection, Action.WEBHOOK_REMOVED, by=by, now=now, webhook=str(webhook)
            )

    async def replay(self, webhook: UUID, first: int, now: datetime) -> None:
        """Send everything again from an event on; a webhook that was off goes on with it.

        The number after the newest one sends nothing again.

        Raises:
            NotFound: there is no such webhook.
            Conflict: there is no such event, or it is kept no longer.
        """
        await self.find(webhook)
        oldest, newest = await self.kept()
        if not (first == newest + 1 or 0 < oldest <= first <= newest):
            kept = f"{oldest} to {newest} are kept" if newest else "none is kept"
            raise Conflict(f"There is no event {first}: {kept}.")
        await rows.set_next(self._database, self._tenant, webhook, first, now)

    async def resend(self, webhook: UUID, number: int, now: datetime) -> Attempt:
        """Send one event again, at once and beside the others.

        Raises:
            NotFound: there is no such webhook, or no such event.
        """
        found = await self.find(webhook)
        async with self._database.transaction() as connection:
            mark = await feed.mark_of(connection, self._tenant)
            page = await feed.numbered_entries(connection, self._tenant, number, number)
        if mark is None or not page:
            raise NotFound("There is no such event, or it is kept no longer.")
        async with self._http.to(target_of(found["url"])) as target:
            return await self._send(found, target, mark.stream, page[0], now)

    async def test(self, webhook: UUID, now: datetime) -> Attempt:
        """Send a test, which is no event.

        Raises:
            NotFound: there is no such webhook.
        """
        found = await self.find(webhook)
        async with self._database.transaction() as connection:
            mark = await feed.open_feed(connection, self._tenant, now)
        nothing = NumberedEntry(0, StoredEntry(WEBHOOK_TEST, now, Raw(b"{}")))
        async with self._http.to(target_of(found["url"])) as target:
            return await self._send(found, target, mark.stream, nothing, now)

    async def send_due(self, clock: Callable[[], datetime], chance: Callable[[], float]) -> bool:
        """Send what one webhook is due; return whether there was one.

        Raises:
            StopService: a master key is missing.
        """
        leased = await rows.take_due(self._database, self._tenant, clock())
        if leased is None:
            return False
        place, ends = leased, asyncio.get_running_loop().time() + TURN_S
        try:
            async with self._http.to(target_of(leased["url"])) as target:
                while place is not None and asyncio.get_running_loop().time() < ends:
                    place = await self._send_next(place, target, clock, chance())
        finally:
            await rows.give_back(self._database, self._tenant, leased)
        return True

    async def _send_next(
        self, place: Any, target: TargetConnection, clock: Callable[[], datetime], chance: float
    ) -> Any:
        """Send the next event of a leased webhook; return the place after it, None at the end."""
        async with self._database.transaction() as connection:
            mark = await feed.mark_of(connection, self._tenant)
            page = await feed.numbered_entries(
                connection, self._tenant, place["next"], mark.numbered if mark else 0
            )
            if mark is not None and not page and place["next"] <= mark.numbered:
                # It was off, or failed, until what comes next was forgotten: it sees the gap.
                oldest = await feed.oldest_number(connection, self._tenant)
                return await self._move(place, oldest or mark.numbered + 1, clock())
        if mark is None or not page:
            return None
        wanted = next((one for one in page if _wants(place, one)), None)
        if wanted is None:
            return await self._move(place, page[-1].number + 1, clock())
        sent = await self._send(place, target, mark.stream, wanted, clock())
        failures, now = place["failures"] + 1, clock()
        failed_at = place["failed_at"] or now
        result = outcome_of(
            sent.status,
            failures,
            since=now - failed_at,
            retry_after_s=sent.retry_after_s,
            chance=chance,
        )
        if result.pause is None:
            return await self._move(place, wanted.number + 1, now)
        if result.off:
            _log.warning("webhook off", webhook=str(place["webhook"]), why=result.off)
        failed = Place(wanted.number, now + result.pause, failures, failed_at, result.off)
        await rows.move(self._database, self._tenant, place, failed)
        return None

    async def _move(self, place: Any, number: int, now: datetime) -> Any:
        """Let a webhook go on with an event; return its place, None where somebody moved it."""
        fresh = Place(number, now)
        moved = await rows.move(self._database, self._tenant, place, fresh)
        return {**place, **fresh._asdict()} if moved else None

    async def _send(
        self,
        webhook: Any,
        target: TargetConnection,
        stream: UUID,
        one: NumberedEntry,
        now: datetime,
    ) -> Attempt:
        number, entry = one
        body = encode(
            WebhookMessage(
                type=entry.type,
                timestamp=entry.time,
                data=entry.data,
                stream=stream,
                sequence=digits(number),
            )
        )
        identifier = f"{stream}/{number}" if number else f"test/{uuid4()}"
        timestamp = int(now.timestamp())
        secrets = await self._accounts.vault.secrets_of(self._database, webhook["webhook"], now)
        headers = {
            "content-type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signatures(secrets, identifier, timestamp, body),
        }
        sent = await target.post(headers, body)
        await rows.add_delivery(
            self._database,
            self._tenant,
            webhook["webhook"],
            number,
            kind=entry.type,
            now=now,
            milliseconds=sent.milliseconds,
            status=sent.status,
            answer=sent.answer,
        )
        return sent


def _wants(webhook: Any, one: NumberedEntry) -> bool:
    return (
        not webhook["kinds"] or FEED_TYPES[one.entry.type].steps.split("/")[0] in webhook["kinds"]
    )


async def send_webhooks(webhooks: Webhooks, clock: Callable[[], datetime]) -> None:
    """Send what is due, until cancelled."""
    step = partial(webhooks.send_due, clock, random.random)
    while True:
        try:
            sent = await retry_until_done("webhooks", step)
        except StopService as problem:
            _log.error("webhooks are not sent", why=str(problem))
            await asyncio.sleep(MISSING_KEY_S)
        else:
            await asyncio.sleep(0 if sent else EVERY_S)
