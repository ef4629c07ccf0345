"""Readers: programs that follow the feed, and their logins at the broker.

The logins are in the broker's own files, where these are kept beside the dashboard (`cardmint-cloud
up`), and nowhere else: the broker takes them without a restart.
"""

import asyncio
from datetime import datetime
from uuid import UUID

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.postgres import feed
from cardmint_cloud.audit import Action
from cardmint_cloud.errors import Conflict
from cardmint_cloud.local.broker_users import BrokerUsers
from cardmint_contracts.access import user_name
from cardmint_contracts.errors import BadTopic


class Readers:
    """The readers of one tenant. `users` is None where the broker's users are kept elsewhere."""

    def __init__(self, accounts: Accounts, users: BrokerUsers | None) -> None:
        self._accounts, self._users = accounts, users
        self._database, self._tenant = accounts.database, accounts.tenant

    @property
    def kept_here(self) -> bool:
        """Whether readers can be made here."""
        return self._users is not None

    async def names(self) -> list[str]:
        """Return the names of the tenant's readers."""
        if self._users is None:
            return []
        return await asyncio.to_thread(self._users.readers, self._tenant)

    async def make(self, name: str, *, by: UUID, now: datetime) -> tuple[str, str]:
        """Return user and password of a reader; earlier ones of that name end. Opens the feed.

        Raises:
            Conflict: no reader can have that name, a station has it, or the broker's users are kept
                elsewhere.
        """
        users = self._kept()
        try:
            user = user_name(self._tenant, name)
        except BadTopic as error:
            raise Conflict(f"That name cannot be a reader's: {error}.") from None
        async with self._database.transaction() as connection:
            await feed.open_feed(connection, self._tenant, now)
            await self._accounts.audit.add(
                connection, Action.READER_MADE, by=by, now=now, reader=name
            )
            password = await asyncio.to_thread(users.add_reader, self._tenant, name)
            if password is None:
                raise Conflict(f"A station has the login {user}: choose another name.")
        return user, password

    async def remove(self, name: str, *, by: UUID, now: datetime) -> bool:
        """End a reader's login; return whether there was one.

        Raises:
            Conflict: the broker's users are kept elsewhere.
        """
        users = self._kept()
        if not await asyncio.to_thread(users.remove_reader, self._tenant, name):
            return False
        async with self._database.transaction() as connection:
            await self._accounts.audit.add(
                connection, Action.READER_REMOVED, by=by, now=now, reader=name
            )
        return True

    def _kept(self) -> BrokerUsers:
        if self._users is None:
            raise Conflict(
                "This dashboard does not keep the broker's users: write the broker's rules with"
                " `cardmint-cloud broker-rules`, and begin with `cardmint-cloud feed open`."
            )
        return self._users
