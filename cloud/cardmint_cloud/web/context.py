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

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.adapters.postgres.queries.vocabulary import Vocabulary
from cardmint_cloud.images import ImageStorage
from cardmint_cloud.provider_sign_in import ProviderSignIn
from cardmint_cloud.readers import Readers
from cardmint_cloud.station_codes import StationCodes
from cardmint_cloud.web.live import LiveHub
from cardmint_cloud.web.sign_in import program_asks, who_asks
from cardmint_cloud.webhooks import Webhooks

PageRequest = Request[None, None, State]
"""A request. `sign_in.who_asks` says who makes it."""

USER = "dashboard"
"""User name of every answer on a dashboard without accounts."""


def user_of(request: PageRequest) -> str:
    """Return in whose name a request is made, as the log has it: people by a reference."""
    who = who_asks(request.scope)
    if who is not None:
        return who.reference
    program = program_asks(request.scope)
    return f"program {program}" if program else USER


@dataclass(frozen=True, kw_only=True, slots=True)
class PageContext:
    """One tenant's access to the service.

    `engine` reads (`queries.reading`), `pool` (asyncpg) writes (`tenant_transaction`). `drawing`
    limits how many images are decoded at a time, `searching` how many reads of all items, and
    `importing` how many files run.
    `vocabulary` corrects what was misspelt.
    `accounts` is None where nobody signs in, `secure` whether browsers come by HTTPS.
    """

    tenant: str
    engine: AsyncEngine
    pool: Pool
    images: ImageStorage
    artifacts: Path
    hub: LiveHub
    clock: Callable[[], datetime]
    accounts: Accounts | None = None
    secure: bool = False
    base_path: str = ""
    station_codes: StationCodes | None = None
    readers: Readers | None = None
    webhooks: Webhooks | None = None
    provider: ProviderSignIn | None = None
    drawing: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, 1))
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    searching: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, 1))
    importing: asyncio.Semaphore = field(default_factory=partial(asyncio.Semaphore, 1))

    def origin(self, request: PageRequest) -> str:
        """Return scheme, host and port by which the browser came."""
        scheme = "https" if self.secure else request.url.scheme
        return f"{scheme}://{request.headers.get('host', '')}"

    def link(self, request: PageRequest, path: str) -> str:
        """Return a whole address of the dashboard, to be sent to somebody."""
        return f"{self.origin(request)}{self.base_path}{path}"

    async def names(self) -> dict[str, str]:
        """Return the names of persons by the references of the event log."""
        return await self.accounts.names() if self.accounts else {}

    @property
    def database(self) -> TenantDatabase:
        """The tenant's database, for single statements."""
        return TenantDatabase(self.pool, self.tenant)
