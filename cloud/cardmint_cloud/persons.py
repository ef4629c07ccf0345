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
from cardmint_cloud.domain.person_references import reference_of
from cardmint_cloud.errors import Conflict
from cardmint_cloud.reviews.answers import user_handle, user_stream


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
            sessions = await self._accounts.sessions_of(connection, account)
            export = {
                **found,
                "sessions": [
                    {name: value for name, value in one.items() if name != "digest"}
                    for one in sessions
                ],
                "audit": [one for one in opened if own in {one["by"], one["person"]}],
                "events": await self._events(connection, account, found["account"]["name"]),
            }
            await self._accounts.audit.add(
                connection, Action.PERSON_EXPORTED, by=MACHINE, person=account, now=now
            )
        return export

    async def erase(
        self, name: str, now: datetime, *, owner: PostgresConnection | None = None
    ) -> Erased:
        """Erase a person: destroy the key, remove what can be removed, and disable the account.

        `owner` is a connection of the tables' owner, for events of earlier versions, which carry
        the name: no other user may change an event.

        Raises:
            NotFound: nobody has that name.
            Conflict: it is the last admin, or the log has the name and there is no `owner`.
        """
        account = await self._accounts.account_named(name)
        new_name = f"erased {secrets.token_hex(4)}"
        async with self._database.transaction() as connection:
            await self._accounts.keep_an_admin(connection, account)
            known_as = await rows.name_of(connection, self._tenant, account)
            named = user_stream(self._tenant, known_as)
            counted = await rows.count_events(connection, self._tenant, named)
            present = await rows.count_present(connection, self._tenant, named)
            if present and owner is None:
                raise Conflict(
                    f"the event log has {present:,} events with that name, which only the tables'"
                    " owner may change: name that user in `database_owner`; nothing was erased"
                )
        if owner is not None:  # First: afterwards nobody knows the name to look for.
            await self._take_name_out(owner, account, known_as)
        async with self._database.transaction() as connection:
            await self._accounts.keep_an_admin(connection, account)
            await account_rows.end_sessions(connection, self._tenant, account)
            await factor_rows.remove_all(connection, self._tenant, account)
            await rows.remove_links(connection, self._tenant, account)
            await account_rows.remove_recovery_links(connection, self._tenant, account)
            await account_rows.remove_links_made_by(connection, self._tenant, account)
            await rows.rename(connection, self._tenant, account, new_name)
            await self._accounts.vault.destroy(connection, account)
            await self._accounts.audit.add(
                connection, Action.PERSON_ERASED, by=MACHINE, person=account, now=now
            )
        return Erased(name=new_name, stays=_stays(account, counted - present))

    async def _take_name_out(self, owner: PostgresConnection, account: UUID, known_as: str) -> None:
        """Put the reference in place of the name, as new events have it."""
        reference = reference_of(account)
        async with owner.transaction():
            await rows.take_name_out(
                owner,
                self._tenant,
                user_stream(self._tenant, known_as),
                name=known_as,
                source=f"/users/{user_handle(reference)}",
                reference=reference,
            )

    async def _events(self, connection: PostgresConnection, account: UUID, name: str) -> int:
        """Return how many events of the log a person made, by the reference or by the name."""
        counts = [
            await rows.count_events(connection, self._tenant, user_stream(self._tenant, by))
            for by in (reference_of(account), name)
        ]
        return sum(counts)


def _stays(account: UUID, retired: int) -> tuple[str, ...]:
    entries = f"the audit log: entries of the account {account}, with role and dates"
    log = (
        f"the event log: that {reference_of(account)} judged or changed a card, and when; nothing"
        " says any more who that was"
    )
    files = f"files of retired months: {retired:,} events with the name"
    return (
        f"{entries}, without what was sealed by the key that is destroyed now",
        log,
        *([files] if retired else []),
        "what somebody typed as free text: notes, lots, names of devices, programs and links",
        "backups made before now, with the key: delete them when their time is over",
        "printouts and exports, and the logs of the web server and of the machine",
    )
