"""Retries while the database is away."""

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
"""Errors of a statement that mean that the database is away.

asyncpg reports a connection that is lost in the middle of a rollback as an internal error.
"""

_log = structlog.get_logger()


async def retry_until_done(what: str, step: Callable[[], Awaitable[T]]) -> T:
    """Run `step` until it succeeds, with growing pauses of up to 5 s, and return its result.

    `what` names the step in the log.
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
