"""Read-only links: a list of cards for somebody without an account, until a day, or until revoked.

The link names its list by a query, and shows nothing but what is printed, finish, condition and
price: no bin, no note, no purchase price. Its secret is 256 random bits, and kept as SHA-256.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from cardmint_cloud.accounts import Accounts, digest_of, new_secret, usable_name
from cardmint_cloud.adapters.postgres import view_links as rows
from cardmint_cloud.audit import Action
from cardmint_cloud.domain.item_query import QueryFault, parse_query
from cardmint_cloud.errors import Conflict, NotFound

LONGEST_DAYS = 366


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkedList:
    """What a link shows: a name, the query of its cards, and its end."""

    name: str
    query: str
    expires_at: datetime


class ViewLinks:
    """The read-only links of one tenant."""

    def __init__(self, accounts: Accounts) -> None:
        self._database, self._tenant = accounts.database, accounts.tenant
        self._audit = accounts.audit

    async def make(self, name: str, query: str, days: int, *, by: UUID, now: datetime) -> str:
        """Return the secret of a new link.

        Raises:
            Conflict: the name or the query cannot be used, or the days are too many.
        """
        if not usable_name(name):
            raise Conflict("Give the link a name, so that you know it again.")
        if not 1 <= days <= LONGEST_DAYS:
            raise Conflict(f"A link is good for 1 to {LONGEST_DAYS} days.")
        try:
            parse_query(query, now.date())
        except QueryFault as fault:
            raise Conflict(f"The list cannot be read: {fault}.") from None
        secret, link = new_secret(), uuid4()
        async with self._database.transaction() as connection:
            await rows.remove_expired(connection, self._tenant, now)
            await rows.add(
                connection,
                self._tenant,
                link,
                digest_of(secret),
                account=by,
                name=name.strip(),
                query=query,
                now=now,
                expires_at=now + timedelta(days=days),
            )
            await self._audit.add(connection, Action.VIEW_LINK_MADE, by=by, now=now, link=str(link))
        return secret

    async def open(self, secret: str, now: datetime) -> LinkedList | None:
        """Return what a link shows; None where it is not good, or not any more."""
        row = await rows.open_link(self._database, self._tenant, digest_of(secret), now)
        if row is None:
            return None
        return LinkedList(name=row["name"], query=row["query"], expires_at=row["expires_at"])

    async def remove(self, link: UUID, *, by: UUID, now: datetime) -> None:
        """Revoke a link.

        Raises:
            NotFound: there is none such.
        """
        async with self._database.transaction() as connection:
            if not await rows.remove(connection, self._tenant, link):
                raise NotFound("There is no such link.")
            await self._audit.add(
                connection, Action.VIEW_LINK_REMOVED, by=by, now=now, link=str(link)
            )
