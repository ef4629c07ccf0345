"""Work that outlives a database that is away."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import structlog

from cardmint_cloud.errors import RetryLater

T = TypeVar("T")
DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a statement raises when the database, and not the statement, is to blame.

asyncpg reports a connection that is lost in the middle of a rollback as an internal error.
"""

_log = structlog.get_logger()


async def retry_until_done(what: str, step: Callable[[], Awaitable[T]]) -> T:
    """Do `step` until it succeeds, with growing pauses, up to 5 s, while the database is away.

    Return its result.
    """
    pause = 0.1
    while True:
        try:
            return await step()
        except (*DATABASE_AWAY, RetryLater) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            _log.warning(
                f"{what}: the database does not do it; trying again",
                reason=reason,
                in_s=round(pause, 1),
            )
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
        pause = min(pause * 2, 5.0)
