"""Which births and deaths are believed, and when two boxes have one name."""

from datetime import timedelta
from uuid import UUID

import pytest

from cardmint_cloud.adapters.postgres.connection import PostgresConnection, fetch_one
from cardmint_cloud.adapters.postgres.fleet import stations
from cardmint_contracts.stations import StationState
from cardmint_contracts.wire import clock_text
from tests.cloud.kit.cards import NOW

pytestmark = pytest.mark.integration


async def say(
    connection: PostgresConnection,
    *,
    boot: int,
    epoch: int,
    stream: int = 1,
    online: bool = True,
    minutes: int = 0,
) -> tuple[bool, int, bool]:
    """Take a birth or death; return whether the station is online, its epoch, and twins."""
    state = StationState(
        online=online,
        epoch=epoch,
        bootid=UUID(int=boot),
        stream=UUID(int=stream),
        time=clock_text(NOW),
        version="1",
    )
    now = NOW + timedelta(minutes=minutes)
    await stations.put_state(connection, "shop", "left", state, now)
    row = await fetch_one(connection, "SELECT * FROM stations")
    return row["online"], row["epoch"], row["twins_at"] == now


async def test_a_late_death_does_not_mark_a_living_box(connection: PostgresConnection) -> None:
    assert await say(connection, boot=1, epoch=7) == (True, 7, False)
    assert await say(connection, boot=2, epoch=8) == (True, 8, False)
    assert await say(connection, boot=1, epoch=7, online=False) == (True, 8, False)
    assert await say(connection, boot=2, epoch=8, online=False) == (False, 8, False)


async def test_a_new_disk_under_an_old_name_is_online_at_once(
    connection: PostgresConnection,
) -> None:
    assert await say(connection, boot=1, epoch=50) == (True, 50, False)
    assert await say(connection, boot=2, epoch=1, stream=2) == (True, 1, False)
    assert await say(connection, boot=1, epoch=50, online=False) == (True, 1, False)
    assert await say(connection, boot=2, epoch=1, stream=3) == (True, 1, False)
    # The will was registered before the station opened its new stream.
    assert await say(connection, boot=2, epoch=1, stream=2, online=False) == (False, 1, False)


async def test_a_boot_that_comes_back_is_another_box(connection: PostgresConnection) -> None:
    await say(connection, boot=1, epoch=5)
    assert await say(connection, boot=2, epoch=6) == (True, 6, False)
    assert await say(connection, boot=1, epoch=5, minutes=1) == (True, 5, True)
    assert await say(connection, boot=1, epoch=5, minutes=2) == (True, 5, False), "nothing new"
    row = await fetch_one(connection, "SELECT * FROM stations")
    assert (row["bootid"], row["other_bootid"]) == (UUID(int=1), UUID(int=2))
    assert await say(connection, boot=3, epoch=7, minutes=3) == (True, 7, False)
