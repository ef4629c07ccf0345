"""What is kept of a person, to be handed out or erased."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.postgres import accounts as account_rows
from cardmint_cloud.adapters.postgres import audit as audit_rows
from cardmint_cloud.adapters.postgres import factors as factor_rows
from cardmint_cloud.adapters.postgres import persons as rows
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.audit import MACHINE, Action
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.errors import Conflict
from cardmint_cloud.reviews.answers import user_stream


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """An erased person: the account's new name, and what stays, a line each."""

    name: str
    stays: tuple[str, ...]


class Persons:
    """The persons of one tenant."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._tenant, self._database = accounts.tenant, accounts.database

    async def export(self, name: str, now: datetime) -> dict[str, Any]:
        """Return all that is kept of a person, as JSON takes it. Secrets and hashes are not in it.

        Raises:
            NotFound: nobody has that name.
        """
        account = await self._accounts.account_named(name)
        async with self._database.transaction() as connection:
            found = await rows.everything(connection, self._tenant, account)
            log = [
                entry
                async for entry in audit_rows.read_all(connection, self._tenant)
                if str(account) in entry.entry
            ]
            opened = [await self._accounts.audit.opened(connection, one.entry) for one in log]
            own = str(account)
            export = {
                **found,
                "audit": [one for one in opened if own in {one["by"], one["person"]}],
                "events": await self._events(connection, found["account"]["name"]),
            }
            await self._accounts.audit.add(
                connection, Action.PERSON_EXPORTED, by=MACHINE, person=account, now=now
            )
        return export

    async def erase(self, name: str, now: datetime) -> Erased:
        """Erase a person: destroy the key, remove what can be removed, and disable the account.

        Raises:
            NotFound: nobody has that name.
            Conflict: it is the last admin.
        """
        account = await self._accounts.account_named(name)
        new_name = f"erased {secrets.token_hex(4)}"
        async with self._database.transaction() as connection:
            await account_rows.lock_accounts(connection, self._tenant)
            if not await account_rows.other_admins(connection, self._tenant, account):
                role = await rows.role_of(connection, self._tenant, account)
                if role == Role.ADMIN:
                    raise Conflict("the last admin stays; make another one first")
            found = await rows.everything(connection, self._tenant, account)
            events = await self._events(connection, found["account"]["name"])
            await account_rows.end_sessions(connection, self._tenant, account)
            await factor_rows.remove_all(connection, self._tenant, account)
            await rows.remove_links(connection, self._tenant, account)
            await rows.rename(connection, self._tenant, account, new_name)
            await self._accounts.vault.destroy(connection, account)
            await self._accounts.audit.add(
                connection, Action.PERSON_ERASED, by=MACHINE, person=account, now=now
            )
        return Erased(name=new_name, stays=_stays(account, found["account"]["name"], events))

    async def _events(self, connection: PostgresConnection, name: str) -> int:
        """Return how many events of the log carry a person's name."""
        stream = user_stream(self._tenant, name)
        return await rows.count_events(connection, self._tenant, stream)


def _stays(account: UUID, name: str, events: int) -> tuple[str, ...]:
    entries = f"the audit log: entries of the account {account}, with role and dates"
    return (
        f"{entries}, without what was sealed by the key that is destroyed now",
        f"the event log: {events} events say that {name!r} judged or changed a card",
        "backups made before now, with the key: delete them when their time is over",
        "printouts and exports, and the logs of the web server and of the machine",
    )
