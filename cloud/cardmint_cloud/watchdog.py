"""Ends a process whose event loop stands still: a failing health check restarts nothing."""

import asyncio
import contextlib
import faulthandler
from collections.abc import AsyncIterator

STANDSTILL_S = 60.0
"""Seconds without a turn of the event loop after which it counts as hung."""

_BEAT_S = 1.0


@contextlib.asynccontextmanager
async def watchdog(standstill_s: float = STANDSTILL_S) -> AsyncIterator[None]:
    """Watch the running event loop until the context ends.

    When it takes no turn for `standstill_s`, what every thread does is written to standard error
    and the process ends with 1, whatever holds the interpreter. Its supervisor starts it again.
    """

    async def beat() -> None:
        while True:
            faulthandler.dump_traceback_later(standstill_s, exit=True)
            await asyncio.sleep(_BEAT_S)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        faulthandler.cancel_dump_traceback_later()
