"""Tasks that a broker kept and this database does not know: cleared, and no other."""

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from cardmint_cloud.adapters.mqtt.client import MqttClient
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.rendezvous import SLOTS, slot_of
from cardmint_cloud.local.broker import LocalBroker
from cardmint_cloud.reviews.dispatch import ReviewDispatcher
from cardmint_cloud.reviews.stray_tasks import StrayTasks
from cardmint_contracts import topics
from cardmint_contracts.settings import BrokerSettings
from cardmint_contracts.stations import StationState
from cardmint_contracts.wire import encode
from tests.cloud.kit.cards import accepted, doubtful, send

pytestmark = pytest.mark.integration


@pytest.fixture
async def link(broker: LocalBroker) -> AsyncIterator[MqttClient]:
    messages: list[object] = []
    link = MqttClient(BrokerSettings(port=broker.port), on_message=messages.append)
    link.start()
    async with asyncio.timeout(20):
        while not link.connection:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
    yield link
    await link.stop()
    assert messages == [], "tasks are no messages of stations"


def strays(pool: Pool, *, slots: Collection[int] = range(SLOTS)) -> StrayTasks:
    return StrayTasks(pool, slots=lambda: slots, on_forgotten=lambda: None, grace_s=0.1)


async def kept(link: MqttClient, *tasks: tuple[str, str, UUID]) -> set[str]:
    """Retain tasks at the broker, as another cloud left them; return all that are retained."""
    for key in tasks:
        await link.publish(topics.task_topic(*key), b"{}")
    return await link.retained_tasks()


async def settled(one: StrayTasks, link: MqttClient, left: set[str]) -> None:
    """Wait until only `left` is retained."""
    running = asyncio.create_task(one.run(link))
    try:
        async with asyncio.timeout(20):
            while await link.retained_tasks() != left:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_only_unknown_tasks_of_our_stations_are_cleared(pool: Pool, link: MqttClient) -> None:
    asked = doubtful()
    await send(pool, accepted(), asked)
    await send(pool, accepted(), station="right")
    await send(pool, accepted(), tenant="other")
    known = ("shop", "left", review_task_id(asked.scan))
    foreign = ("shop", "nobodys", uuid4())
    ghosts = [("shop", "left", uuid4()) for _ in range(16)] + [("other", "left", uuid4())]
    right = ("shop", "right", uuid4())
    assert len(await kept(link, known, foreign, right, *ghosts)) == 20
    slots = {slot_of("shop", "left"), slot_of("other", "left"), slot_of("shop", "nobodys")}
    assert slot_of("shop", "right") not in slots
    left = {topics.task_topic(*key) for key in (known, foreign, right)}
    await settled(strays(pool, slots=slots), link, left)


async def test_a_task_of_a_station_is_cleared_after_its_first_event_here(
    pool: Pool, link: MqttClient
) -> None:
    ghost = ("shop", "left", uuid4())
    await kept(link, ghost)
    one = strays(pool)
    running = asyncio.create_task(one.run(link))
    await asyncio.sleep(3)
    assert await link.retained_tasks() == {topics.task_topic(*ghost)}
    await send(pool, accepted())
    running.cancel()
    await asyncio.wait([running])
    await settled(one, link, set())


async def test_a_second_cloud_leaves_the_questions_of_the_first_alone(
    pool: Pool, owner: Pool, link: MqttClient
) -> None:
    await send(pool, accepted())
    await send(pool, accepted(), station="right")
    theirs, ours = ("shop", "left", uuid4()), ("shop", "right", uuid4())
    await kept(link, theirs, ours)
    here = await owner.fetchval("SELECT id FROM database_identity")
    one = strays(pool)

    def says(station: str, database: UUID | None) -> None:
        state = StationState(
            online=True,
            epoch=1,
            bootid=uuid4(),
            stream=uuid4(),
            time="2026-11-27T10:00:00+00:00",
            version="1",
            database=database,
        )
        one.heard("shop", station, encode(state))

    says("left", uuid4())
    says("right", here)
    await settled(one, link, {topics.task_topic(*theirs)})
    says("left", here)
    one.heard("shop", "left", b" " * 5000)
    await settled(one, link, set())
    one.heard("shop", "left", b"{")
    await kept(link, theirs)
    one.taken_over()
    await settled(one, link, set())


async def test_a_closed_task_is_closed_again_by_the_dispatcher(
    pool: Pool, owner: Pool, link: MqttClient
) -> None:
    asked = doubtful()
    await send(pool, asked)
    await owner.execute("UPDATE reviews SET state = 'answered', version = 2, published_version = 2")
    await kept(link, ("shop", "left", review_task_id(asked.scan)))
    dispatcher = ReviewDispatcher(pool, slots=lambda: range(SLOTS), clock=lambda: datetime.now(UTC))
    one = StrayTasks(pool, slots=lambda: range(SLOTS), on_forgotten=dispatcher.wake, grace_s=0.1)
    publishing = asyncio.create_task(dispatcher.publish_new(link))
    await settled(one, link, set())
    publishing.cancel()
    await asyncio.wait([publishing])


async def test_a_question_that_opens_while_it_is_cleared_is_published_again(
    pool: Pool, owner: Pool
) -> None:
    """The broker stands in for the moment between two statements."""
    asked = doubtful()
    await send(pool, accepted())
    task = review_task_id(asked.scan)

    class Broker:
        connection = 1

        async def retained_tasks(self) -> set[str]:
            return {topics.task_topic("shop", "left", task)}

        def publish(
            self, topic: str, payload: bytes, *, retain: bool = True
        ) -> asyncio.Future[None]:
            assert (topic[-36:], payload, retain) == (str(task), b"", True)

            async def opened() -> None:
                await send(pool, asked)
                await owner.execute("UPDATE reviews SET published_version = version")

            return asyncio.ensure_future(opened())

    woken = asyncio.Event()
    one = StrayTasks(pool, slots=lambda: range(SLOTS), on_forgotten=woken.set, grace_s=0.05)
    running = asyncio.create_task(one.run(Broker()))
    async with asyncio.timeout(20):
        await woken.wait()
    running.cancel()
    await asyncio.wait([running])
    assert await owner.fetchval("SELECT published_version FROM reviews") == 0
