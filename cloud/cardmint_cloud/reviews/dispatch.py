"""Review tasks on their way to stations: each new version is published and remembered as sent."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from cardmint_cloud.adapters.postgres import across
from cardmint_cloud.adapters.postgres.across import by_tenant
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.adapters.postgres.retry import retry_until_done
from cardmint_cloud.adapters.postgres.reviews import publishing
from cardmint_cloud.domain.items import Review
from cardmint_cloud.domain.person_references import is_reference
from cardmint_cloud.fleet import StationPublisher
from cardmint_contracts import topics
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.wire import encode

SWEEP_S = 5.0
"""Seconds after which unpublished reviews are looked for, even if nothing woke the dispatcher."""

PAGE = 200
"""Reviews that are published at a time."""


DASHBOARD = "the dashboard"
"""Who answered, for stations: they keep what they are told, and get no name of a person."""


class ReviewDispatcher:
    """Publishes the review tasks of the stations in `slots()`, which changes over time."""

    def __init__(
        self, pool: Pool, *, slots: Callable[[], Collection[int]], clock: Callable[[], datetime]
    ) -> None:
        self._pool = pool
        self._slots = slots
        self._clock = clock
        self._woken = asyncio.Event()
        self._started_stations: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def wake(self) -> None:
        """Look for unpublished reviews soon."""
        self._woken.set()

    def station_started(self, tenant: str, station: str) -> None:
        """Publish a station's tasks again soon: a broker may have lost the retained ones."""
        self._started_stations.put_nowait((tenant, station))

    async def publish_new(self, publisher: StationPublisher) -> None:
        """Publish each new version of a review, until cancelled."""
        while True:
            # Not asyncio.wait_for: before Python 3.12 it could swallow a cancellation, and the
            # worker never ended.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._woken.wait()
            self._woken.clear()
            await retry_until_done("dispatch", partial(self._publish_unpublished, publisher))

    async def publish_to_started(self, publisher: StationPublisher) -> None:
        """Publish the tasks of each station that has just started, until cancelled."""
        while True:
            tenant, station = await self._started_stations.get()
            await retry_until_done(
                "dispatch", partial(self._publish_all, publisher, tenant, station)
            )

    async def _publish_unpublished(self, publisher: StationPublisher) -> None:
        while keys := await across.unpublished_reviews(self._pool, self._slots(), PAGE):
            for tenant, tasks in by_tenant(keys).items():
                async with tenant_transaction(self._pool, tenant) as connection:
                    reviews = await publishing.unpublished_tasks(
                        connection, tenant, [task for _, task in tasks]
                    )
                if not await self._publish(publisher, tenant, reviews):
                    return

    async def _publish_all(self, publisher: StationPublisher, tenant: str, station: str) -> None:
        async with tenant_transaction(self._pool, tenant) as connection:
            reviews = await publishing.reviews_of_station(
                connection, tenant, station, self._clock()
            )
        await self._publish(publisher, tenant, reviews)

    async def _publish(
        self, publisher: StationPublisher, tenant: str, reviews: Sequence[Review]
    ) -> bool:
        """Publish a tenant's reviews; return whether the broker has taken all of them."""
        published = await _publish(publisher, reviews)
        async with tenant_transaction(self._pool, tenant) as connection:
            await publishing.mark_published(connection, tenant, published)
        return len(published) == len(reviews)


async def _publish(
    publisher: StationPublisher, reviews: Sequence[Review]
) -> list[tuple[UUID, int]]:
    """Publish tasks, empty payloads for closed ones, and return those that the broker has taken.

    A closed task's outcome goes before the empty payload, so that the station still knows what was
    answered there.
    """
    for review in reviews:
        if (outcome := _outcome(review)) is not None:
            topic = topics.outcome_topic(review.tenant, review.station, review.task)
            publisher.publish(topic, encode(outcome), retain=False)
    sent = [
        (r, publisher.publish(topics.task_topic(r.tenant, r.station, r.task), _task_payload(r)))
        for r in reviews
    ]
    await asyncio.gather(*(taken for _, taken in sent), return_exceptions=True)
    return [(r.task, r.version) for r, taken in sent if taken.done() and not taken.cancelled()]


def _outcome(review: Review) -> ReviewOutcome | None:
    if review.open or review.verdict is None or review.closed_at is None:
        return None
    return ReviewOutcome(
        task=review.task,
        version=review.version,
        scan=review.item,
        verdict=review.verdict,
        by=DASHBOARD if is_reference(review.answered_by) else review.answered_by,
        at=review.closed_at,
        card=review.card,
        language=(review.prior.answered_language or None) if review.prior else None,
    )


def _task_payload(review: Review) -> bytes:
    if not review.open:
        return b""
    return encode(
        ReviewTask(
            task=review.task,
            version=review.version,
            scan=review.item,
            opened=review.opened_at,
            reasons=review.reasons,
            candidates=review.candidates,
            image=review.image,
            place=review.place,
            escalated=review.escalated,
        )
    )
