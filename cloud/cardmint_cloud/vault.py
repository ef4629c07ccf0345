"""Personal data of one tenant, sealed by a key of each person, and secrets (`adapters.sealing`)."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from cardmint_cloud.adapters.postgres import person_keys, webhooks
from cardmint_cloud.adapters.postgres.connection import Executor, Pool, TenantDatabase
from cardmint_cloud.adapters.sealing import Key, MasterKeys, missing
from cardmint_cloud.errors import NotFound, StopService


class Vault:
    """The keys of a tenant's persons, and the secrets of its webhooks."""

    def __init__(self, tenant: str, masters: MasterKeys) -> None:
        self.tenant = tenant
        self._masters = masters

    async def seal(self, executor: Executor, person: UUID, place: str, plain: bytes) -> bytes:
        """Return what only the person's key opens; the key is made with the first value."""
        key = await self._key(executor, person)
        if key is None:
            master, made = self._masters.wrap(Key.new(), self._place(person, "key"))
            await person_keys.add(executor, self.tenant, person, master=master, wrapped=made)
            key = await self._key(executor, person)
        if key is None:
            raise NotFound("There is no such person any more.")
        return key.seal(plain, self._place(person, place))

    async def open(
        self, executor: Executor, person: UUID, place: str, sealed: bytes
    ) -> bytes | None:
        """Return what was sealed at `place`; None where the person's key was destroyed."""
        key = await self._key(executor, person)
        return key.open(sealed, self._place(person, place)) if key else None

    async def destroy(self, executor: Executor, person: UUID) -> None:
        """Destroy a person's key."""
        await person_keys.remove(executor, self.tenant, person)

    async def add_secret(self, executor: Executor, webhook: UUID, now: datetime) -> bytes:
        """Return a new secret of a webhook, 32 random bytes; it is stored, wrapped."""
        made, secret = Key.new(), uuid4()
        master, wrapped = self._masters.wrap(made, self._place(secret, "webhook"))
        await webhooks.add_secret(
            executor, self.tenant, webhook, secret, master=master, wrapped=wrapped, now=now
        )
        return made.secret

    async def secrets_of(self, executor: Executor, webhook: UUID, now: datetime) -> list[bytes]:
        """Return the secrets of a webhook that are good, the newest first.

        Raises:
            StopService: a master key is missing.
        """
        return [
            self._unwrapped(row).secret
            for row in await webhooks.secrets_of(executor, self.tenant, webhook, now)
        ]

    async def wrap_again(self, executor: Executor) -> int:
        """Wrap every key and secret by the current master key; return how many were another's.

        Raises:
            StopService: an earlier master key is missing.
        """
        found = await person_keys.list_all(executor, self.tenant)
        earlier = [row for row in found if row["master"] != self._masters.current]
        for row in earlier:
            place = self._place(row["account"], "key")
            key = self._masters.unwrap(row["master"], bytes(row["wrapped"]), place)
            master, wrapped = self._masters.wrap(key, place)
            await person_keys.wrap_again(
                executor, self.tenant, row["account"], master=master, wrapped=wrapped
            )
        secrets = await webhooks.list_secrets(executor, self.tenant, but=self._masters.current)
        for row in secrets:
            place = self._place(row["secret"], "webhook")
            master, wrapped = self._masters.wrap(self._unwrapped(row), place)
            await webhooks.wrap_again(
                executor, self.tenant, row["secret"], master=master, wrapped=wrapped
            )
        return len(earlier) + len(secrets)

    async def check(self, pool: Pool) -> None:
        """Check that every master key that is needed is there.

        Raises:
            StopService: one is missing; the message names it.
        """
        database = TenantDatabase(pool, self.tenant)
        for rows in (person_keys, webhooks):
            for master in await rows.masters(database, self.tenant):
                if master not in self._masters:
                    raise StopService(missing(master))

    async def _key(self, executor: Executor, person: UUID) -> Key | None:
        row = await person_keys.find(executor, self.tenant, person)
        if row is None:
            return None
        place = self._place(person, "key")
        return self._masters.unwrap(row["master"], bytes(row["wrapped"]), place)

    def _unwrapped(self, row: Any) -> Key:
        place = self._place(row["secret"], "webhook")
        return self._masters.unwrap(row["master"], bytes(row["wrapped"]), place)

    def _place(self, person: UUID, place: str) -> str:
        return f"{self.tenant}/{person}/{place}"
