"""Signing in by another provider, for accounts whose owner connected it.

An identity of the provider makes no account: an invitation does.
"""

from collections.abc import Mapping
from datetime import datetime

from cardmint_cloud.accounts import Accounts, SignedIn, new_secret
from cardmint_cloud.adapters.oidc import OidcProvider
from cardmint_cloud.adapters.postgres import identities as rows
from cardmint_cloud.audit import Action
from cardmint_cloud.errors import Conflict, NotFound

_UNKNOWN = (
    "No account here is connected with that sign-in. Sign in by password, and connect it on the"
    " page Account."
)


class ProviderSignIn:
    """One tenant's accounts and the provider by which people may sign in to them."""

    def __init__(self, accounts: Accounts, provider: OidcProvider) -> None:
        self._accounts, self._provider = accounts, provider
        self._tenant, self._database = accounts.tenant, accounts.database

    @property
    def name(self) -> str:
        """What people call the provider."""
        return self._provider.name

    async def begin(self, redirect_uri: str) -> tuple[str, str]:
        """Return a new secret for the browser, and where it goes.

        Raises:
            ProviderProblem: the provider cannot be asked.
        """
        secret = new_secret()
        return secret, await self._provider.address(secret, redirect_uri)

    async def sign_in(
        self,
        secret: str,
        redirect_uri: str,
        answer: Mapping[str, str],
        *,
        address: str,
        agent: str,
        now: datetime,
    ) -> str:
        """Return the secret of a new session; a second factor is asked for as after a password.

        Raises:
            ProviderProblem: the provider signed nobody in.
            NotFound: no account is connected with who came.
        """
        identity = await self._provider.identity(secret, redirect_uri, answer, now)
        found = await rows.account_of(self._database, self._tenant, identity)
        if found is None or found["disabled"]:
            async with self._database.transaction() as connection:
                await self._accounts.audit.add(
                    connection,
                    Action.SIGN_IN_REFUSED,
                    by="",
                    person=found["account"] if found else None,
                    personal={"address": address, "agent": agent},
                    now=now,
                )
            raise NotFound(_UNKNOWN)
        session = await self._accounts.begin_session(
            found["account"], found["password"], address=address, agent=agent, now=now
        )
        if session is None:
            raise NotFound(_UNKNOWN)
        return session

    async def connect(
        self,
        who: SignedIn,
        secret: str,
        redirect_uri: str,
        answer: Mapping[str, str],
        *,
        now: datetime,
    ) -> None:
        """Connect a person's account with the identity that came back from the provider.

        Raises:
            ProviderProblem: the provider signed nobody in.
            Conflict: that identity or that account is connected already.
        """
        identity = await self._provider.identity(secret, redirect_uri, answer, now)
        async with self._database.transaction() as connection:
            if not await rows.add(connection, self._tenant, identity, who.account, now):
                raise Conflict(
                    f"This account, or that sign-in of {self.name}, is connected already."
                )
            await self._accounts.audit.add_own(
                connection, Action.IDENTITY_CONNECTED, who.account, now=now
            )

    async def disconnect(self, who: SignedIn, now: datetime) -> None:
        """Take the identity from a person's account.

        Raises:
            NotFound: it has none.
        """
        async with self._database.transaction() as connection:
            if not await rows.remove(connection, self._tenant, who.account):
                raise NotFound("This account is not connected.")
            await self._accounts.audit.add_own(
                connection, Action.IDENTITY_REMOVED, who.account, now=now
            )

    async def connected_since(self, who: SignedIn) -> datetime | None:
        """Return since when a person's account is connected; None where it is not."""
        return await rows.made_at(self._database, self._tenant, who.account)
