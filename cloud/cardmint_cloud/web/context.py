"""The objects that page handlers need, passed to them as one value."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from litestar import Request
from litestar.datastructures import State
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.images import ImageStorage
from cardmint_cloud.web.live import LiveHub

PageRequest = Request[None, None, State]
"""A request. Until there are accounts it has no user."""

USER = "dashboard"
"""User name of every answer on the dashboard until there are accounts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContext:
    """One tenant's access to the service.

    `engine` reads; `pool` (asyncpg) writes and listens. `drawing` limits how many images are
    decoded at a time.
    """

    tenant: str
    engine: AsyncEngine
    pool: Pool
    images: ImageStorage
    artifacts: Path
    hub: LiveHub
    clock: Callable[[], datetime]
    drawing: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, 1))
