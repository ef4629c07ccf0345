"""Accounts of people and tokens of programs: how one proves who it is.

Passwords are hashed by Argon2id. Sessions, links and tokens are random; the database has only their
SHA-256. What is done to accounts is written to the audit log in the same transaction.
"""

import asyncio
import json
import re
import secrets
import unicodedata
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cardmint_cloud.adapters.postgres import accounts as rows
from cardmint_cloud.adapters.postgres import factors as factor_rows
from cardmint_cloud.adapters.postgres.connection import Pool, PostgresConnection, TenantDatabase
from cardmint_cloud.adapters.postgres.ingest.event_log import notify
from cardmint_cloud.adapters.sealing import MasterKeys
from cardmint_cloud.audit import MACHINE, Action, AuditLog
from cardmint_cloud.domain.audit_chain import canonical
from cardmint_cloud.domain.permissions import Role, Scope
from cardmint_cloud.domain.person_references import reference_of
from cardmint_cloud.domain.reach import Reach, reach_of
from cardmint_cloud.domain.sign_in_pace import SignInPace
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.known_browsers import KnownBrowsers
from cardmint_cloud.vault import Vault
from cardmint_contracts.notifications import Subject

LINK_LIFE = timedelta(hours=24)
IDLE = {True: timedelta(hours=12), False: timedelta(days=7)}
LONGEST = {True: timedelta(days=7), False: timedelta(days=30)}
"""How long a session lasts without use, and in all; True is for admins."""

CLOCKS_DIFFER = timedelta(hours=1)
"""A session that began later than that from now began by a clock that was set back: it is over."""

SECOND_LIFE = timedelta(minutes=10)
"""How long a sign-in waits for its second factor."""

PROOF_LIFE = timedelta(minutes=15)
"""How long after a proof of who asks that person may change what is sensitive."""

TOUCH_EVERY = timedelta(minutes=1)
LEAST_PASSWORD = 12
MOST_PASSWORD = 200
MOST_JUDGED = 72
"""Characters of a password that are judged: the time for it grows faster than its length."""

MOST_NAME = 60
MOST_AGENT = 200
MOST_ORIGINS = 10
_ORIGIN = re.compile(r"https?://[a-z0-9.-]{1,253}(:\d{1,5})?\Z")
TOKEN_PREFIX = "cm_"  # noqa: S105 - so that secret scanners find one
_SECRET_BYTES = 32
_SESSION = "session"
"""Where it is sealed from where a session came."""

_IN_SESSION = "session"
"""Where tries are counted of somebody with a session."""

LINK_GONE = "This link was used or is too old; ask for a new one."
_GUESSES = 8.0
"""The least decimal logarithm of the guesses that a password should take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """A person with a session, whose digest is its name in the database.

    `waits` says that the second factor is still to come, `factors` that the account has any,
    `proved_at` when the person last proved who it is. `reach` is None for the whole tenant.
    """

    account: UUID
    name: str
    role: Role
    session: bytes
    waits: bool = False
    factors: bool = False
    proved_at: datetime | None = None
    reach: Reach | None = None

    @property
    def reference(self) -> str:
        """The person in the event log."""
        return reference_of(self.account)

    def proved_lately(self, now: datetime) -> bool:
        """Return whether the person may change what is sensitive."""
        return self.proved_at is not None and now - self.proved_at <= PROOF_LIFE


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program or station with a token."""

    name: str
    scope: Scope
    digest: bytes
    origins: frozenset[str] = frozenset()
    per_minute: int | None = None
    reach: Reach | None = None
    expires_at: datetime | None = None

    def has_ended(self, now: datetime) -> bool:
        """Return whether the token is too old."""
        return self.expires_at is not None and now >= self.expires_at


class TooSoon(Exception):
    """A password may not be tried yet: `seconds` are left."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s before the next try")
        self.seconds = seconds


class Accounts:
    """The accounts of one tenant."""

    def __init__(
        self, pool: Pool, tenant: str, masters: MasterKeys, *, everybody: bool = False
    ) -> None:
        """Take the master keys. With `everybody`, not only admins need a second factor."""
        self.database = self._database = TenantDatabase(pool, tenant)
        self.tenant = self._tenant = tenant
        self.vault = Vault(tenant, masters)
        self.browsers = KnownBrowsers(tenant, masters)
        self.audit = AuditLog(self.vault)
        self.token_changes = 0
        """Rises whenever this process made or removed a token."""
        self._everybody = everybody
        self._pace = SignInPace()
        # 19 MiB each and two at a time: a small machine has that to spare.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)
        self._hashing = asyncio.Semaphore(2)
        # One of the two: however many strangers try, a known browser waits for one of them at most.
        self._strangers = asyncio.Semaphore(1)
        # Nothing matches it: so an unknown name takes as long as a known one.
        self._nobody = self._hasher.hash(new_secret())

    async def sign_in(
        self,
        name: str,
        password: str,
        *,
        address: str,
        agent: str,
        now: datetime,
        clock: float,
        browsers: Mapping[str, str] = MappingProxyType({}),
    ) -> str | None:
        """Return the secret of a new session; None for a wrong name or password.

        `browsers` are the cookies by which the browser may be known, `clock` is in seconds, for
        the pace of tries.

        Raises:
            TooSoon: there were too many wrong tries.
        """
        if not usable_name(name):
            return None
        folded = fold(name)
        found = await rows.account_named(self._database, self._tenant, folded)
        browser = self.browsers.known(found["account"] if found else uuid4(), browsers, now)
        wait = self._pace.seconds_to_wait(folded, address, clock, browser=browser)
        if wait > 0:
            raise TooSoon(wait)
        # Counted before the answer is known: many tries at once are no way around the pauses.
        self._pace.wrong(folded, address, clock, browser=browser)
        async with nullcontext() if browser else self._strangers:
            right = await self._verify(found["password"] if found else self._nobody, password)
        told = {"address": address, "agent": agent[:MOST_AGENT]}
        if not right or found is None or found["disabled"]:
            async with self._database.transaction() as connection:
                await self.audit.add(
                    connection,
                    Action.SIGN_IN_REFUSED,
                    by="",
                    person=found["account"] if found else None,
                    personal=told,
                    now=now,
                )
                if found is None:  # As many statements as for a known name: it takes as long.
                    await self.vault.open(connection, uuid4(), "", b"")
            return None
        self._pace.right(folded, address, browser=browser)
        return await self.begin_session(
            found["account"], found["password"], address=address, agent=agent, now=now
        )

    async def signed_in(self, secret: str, now: datetime, *, use: bool = True) -> SignedIn | None:
        """Return whose session a secret is; None where it is none, or has ended.

        With `use`, that is noted, so that the session lasts.
        """
        digest = digest_of(secret)
        row = await rows.account_of_session(self._database, self._tenant, digest)
        if row is None:
            return None
        role = Role(row["role"])
        admin = role is Role.ADMIN
        age = now - row["began_at"]
        if now - row["seen_at"] > IDLE[admin] or not -CLOCKS_DIFFER <= age <= LONGEST[admin]:
            return None
        waits = row["stage"] == "second"
        if waits and now - row["began_at"] > SECOND_LIFE:
            return None
        if use and now - row["seen_at"] > TOUCH_EVERY:
            await rows.touch_session(self._database, self._tenant, digest, now)
        return SignedIn(
            account=row["account"],
            name=row["name"],
            role=role,
            session=digest,
            waits=waits,
            factors=row["factors"],
            proved_at=row["proved_at"],
            reach=reach_of(row["stations"], row["lots"]),
        )

    def needs_factor(self, role: Role) -> bool:
        """Return whether an account of a role needs a second factor."""
        return self._everybody or role is Role.ADMIN

    async def program(self, token: str, now: datetime) -> Program | None:
        """Return whose token it is; None where it is none."""
        digest = digest_of(token)
        row = await rows.token_of(self._database, self._tenant, digest)
        if row is None:
            return None
        program = Program(
            name=row["name"],
            scope=Scope(row["scope"]),
            digest=digest,
            origins=frozenset(row["origins"]),
            per_minute=row["per_minute"],
            reach=reach_of(row["stations"], row["lots"]),
            expires_at=row["expires_at"],
        )
        if program.has_ended(now):
            return None
        if row["used_at"] is None or now - row["used_at"] > TOUCH_EVERY:
            await rows.touch_token(self._database, self._tenant, digest, now)
        return program

    async def sign_out(self, who: SignedIn, now: datetime, session: bytes | None = None) -> None:
        """End a session: the own one, or another one of the same account."""
        async with self._database.transaction() as connection:
            ended = session or who.session
            await rows.end_session(connection, self._tenant, who.account, ended)
            await self.audit.add_own(connection, Action.SIGNED_OUT, who.account, now=now)

    async def end_sessions(
        self, account: UUID, now: datetime, *, by: UUID, keep: bytes | None = None
    ) -> None:
        """End all sessions of an account but one.

        Raises:
            NotFound: there is no such account.
        """
        async with self._database.transaction() as connection:
            if await rows.find_account(connection, self._tenant, account) is None:
                raise NotFound("There is no such account.")
            await rows.end_sessions(connection, self._tenant, account, keep)
            await self.audit.add(connection, Action.SESSIONS_ENDED, by=by, person=account, now=now)

    async def invite(
        self,
        role: Role,
        now: datetime,
        *,
        by: UUID | str = MACHINE,
        reach: Reach | None = None,
    ) -> str:
        """Return the secret of a link that makes one account, once, within a day.

        Raises:
            Conflict: an admin would be limited.
        """
        check_reach(role, reach)
        secret = new_secret()
        reach = reach or Reach()
        async with self._database.transaction() as connection:
            await rows.add_link(
                connection,
                self._tenant,
                digest_of(secret),
                role,
                now + LINK_LIFE,
                stations=sorted(reach.stations),
                lots=sorted(reach.lots),
                made_by=_person(by),
            )
            await self.audit.add(
                connection, Action.INVITED, by=by, now=now, role=role, reach=reach.words
            )
        return secret

    async def remove_link(self, digest: bytes, now: datetime, *, by: UUID) -> None:
        """Remove a one-time link: it makes and recovers no account any more.

        Raises:
            NotFound: there is none.
        """
        async with self._database.transaction() as connection:
            if not await rows.remove_link(connection, self._tenant, digest):
                raise NotFound("There is no such link, or it was used.")
            await self.audit.add(connection, Action.LINK_REMOVED, by=by, now=now)

    async def names(self) -> dict[str, str]:
        """Return the names of all persons, by the references of the event log."""
        found = await rows.list_names(self._database, self._tenant)
        return {reference_of(account): name for account, name in found}

    async def account_named(self, name: str) -> UUID:
        """Return an account by its name.

        Raises:
            NotFound: nobody has that name.
        """
        found = await rows.account_named(self._database, self._tenant, fold(name))
        if found is None:
            raise NotFound(f"no account here has the name {name!r}; the page `People` has them all")
        account: UUID = found["account"]
        return account

    async def recovery_link(
        self, account: UUID, now: datetime, *, drops_factors: bool, by: UUID | str = MACHINE
    ) -> str:
        """Return the secret of a link that sets an account's password anew, once, within a day.

        It takes the place of earlier ones, and a new password ends it. With `drops_factors` the
        second factors go with the old password.

        Raises:
            NotFound: there is no such account.
        """
        secret = new_secret()
        async with self._database.transaction() as connection:
            await rows.remove_recovery_links(connection, self._tenant, account)
            added = await rows.add_recovery_link(
                connection,
                self._tenant,
                digest_of(secret),
                account,
                expires_at=now + LINK_LIFE,
                drops_factors=drops_factors,
                made_by=_person(by),
            )
            if not added:
                raise NotFound("There is no such account.")
            await self.audit.add(
                connection,
                Action.RECOVERY_LINK_MADE,
                by=by,
                person=account,
                now=now,
                drops_factors=str(drops_factors).lower(),
            )
        return secret

    async def recovers(self, secret: str, now: datetime) -> str | None:
        """Return the name of the account that a link recovers; None where it is not good."""
        row = await rows.recovery_link(self._database, self._tenant, digest_of(secret), now)
        return row["name"] if row else None

    async def recover(self, secret: str, password: str, now: datetime) -> None:
        """Set a password by a recovery link; all sessions end, and whoever it is signs in.

        Raises:
            NotFound: the link is not good any more.
            Conflict: the password cannot be used.
        """
        row = await rows.recovery_link(self._database, self._tenant, digest_of(secret), now)
        if row is None:
            raise NotFound(LINK_GONE)
        check_password(password, row["name"], self._tenant)
        hashed = await self._hash(password)
        async with self._database.transaction() as connection:
            taken = await rows.take_recovery_link(connection, self._tenant, digest_of(secret), now)
            if taken is None:
                raise NotFound(LINK_GONE)
            account = taken["account"]
            await self._set_password(connection, account, hashed)
            await rows.end_sessions(connection, self._tenant, account)
            if taken["drops_factors"]:
                await factor_rows.remove_all(connection, self._tenant, account)
            await self.audit.add_own(connection, Action.RECOVERED, account, now=now)

    async def invited_as(self, secret: str, now: datetime) -> Role | None:
        """Return the role of a link that is still good; None if it is not."""
        role = await rows.link_role(self._database, self._tenant, digest_of(secret), now)
        return Role(role) if role else None

    async def join(
        self, secret: str, name: str, password: str, *, address: str, agent: str, now: datetime
    ) -> str:
        """Make an account by a link, and return the secret of its first session.

        Raises:
            NotFound: the link is not good any more.
            Conflict: the name is taken, or name or password cannot be used.
        """
        if await self.invited_as(secret, now) is None:
            raise NotFound(LINK_GONE)
        check_name(name)
        check_password(password, name, self._tenant)
        hashed = await self._hash(password)
        async with self._database.transaction() as connection:
            link = await rows.take_link(connection, self._tenant, digest_of(secret), now)
            if link is None:
                raise NotFound(LINK_GONE)
            account = uuid4()
            added = await rows.add_account(
                connection,
                self._tenant,
                account,
                name=name.strip(),
                folded=fold(name),
                role=link["role"],
                password=hashed,
                now=now,
                stations=link["stations"],
                lots=link["lots"],
            )
            if not added:
                raise Conflict("Somebody has this name already; take another one.")
            await self.audit.add_own(connection, Action.JOINED, account, now=now, role=link["role"])
        begun = await self.begin_session(account, hashed, address=address, agent=agent, now=now)
        if begun is None:
            raise NotFound("An admin has disabled this account already.")
        return begun

    async def change_password(
        self, who: SignedIn, present: str, new: str, *, now: datetime, clock: float
    ) -> None:
        """Change a person's password, and end their other sessions.

        `clock` is in seconds, for the pace of tries: a session alone is no way to the password.

        Raises:
            Conflict: the present one is wrong, or the new one cannot be used.
            TooSoon: there were too many wrong tries.
        """
        if not await self.is_password(who, present, now=now, clock=clock):
            raise Conflict("The present password is wrong.")
        check_password(new, who.name, self._tenant)
        changed = await self._hash(new)
        async with self._database.transaction() as connection:
            await self._set_password(connection, who.account, changed)
            await rows.end_sessions(connection, self._tenant, who.account, who.session)
            await self.audit.add_own(connection, Action.PASSWORD_CHANGED, who.account, now=now)

    async def _set_password(
        self, connection: PostgresConnection, account: UUID, hashed: str
    ) -> None:
        """Set a password, and end the links that would set it anew."""
        await rows.set_password(connection, self._tenant, account, hashed)
        await rows.remove_recovery_links(connection, self._tenant, account)

    async def is_password(
        self, who: SignedIn, password: str, *, now: datetime, clock: float
    ) -> bool:
        """Return whether it is the person's password; a wrong one is written down.

        Raises:
            TooSoon: there were too many wrong tries.
        """
        self.count_try(who.account, clock)
        hashed = await rows.password_of(self._database, self._tenant, who.account)
        right = hashed is not None and await self._verify(hashed, password)
        if right:
            self.forget_tries(who.account)
        else:
            await self.note_refused_proof(who, "password", now)
        return right

    async def note_refused_proof(self, who: SignedIn, kind: str, now: datetime) -> None:
        """Write down that somebody with a session, or with the password, gave a wrong proof."""
        async with self._database.transaction() as connection:
            await self.audit.add_own(
                connection, Action.PROOF_REFUSED, who.account, now=now, kind=kind
            )

    def count_try(self, account: UUID, clock: float) -> None:
        """Count a try by somebody with a session, before the answer is known.

        Raises:
            TooSoon: there were too many wrong ones.
        """
        wait = self._pace.seconds_to_wait(str(account), "", clock, browser=_IN_SESSION)
        if wait > 0:
            raise TooSoon(wait)
        self._pace.wrong(str(account), "", clock, browser=_IN_SESSION)

    def forget_tries(self, account: UUID) -> None:
        """Forget the tries of an account that proved itself."""
        self._pace.right(str(account), "", browser=_IN_SESSION)

    async def renew_session(self, who: SignedIn, now: datetime, action: Action) -> str:
        """Return a new secret for a session whose person has proved who it is.

        Raises:
            NotFound: the session has ended meanwhile.
        """
        secret = new_secret()
        async with self._database.transaction() as connection:
            row = await rows.renew_session(
                connection, self._tenant, who.session, digest_of(secret), now
            )
            if row is None:
                raise NotFound("That session has ended; sign in again.")
            personal = await self._came_from(connection, who.account, row)
            await self.audit.add_own(connection, action, who.account, personal=personal, now=now)
        return secret

    async def sessions_of(
        self, connection: PostgresConnection, account: UUID
    ) -> list[dict[str, Any]]:
        """Return an account's sessions, the last used first, and where each came from."""
        return [
            {
                **await self._came_from(connection, account, row),
                **{name: row[name] for name in ("digest", "began_at", "seen_at")},
            }
            for row in await rows.list_sessions(connection, self._tenant, account)
        ]

    async def _came_from(
        self, connection: PostgresConnection, account: UUID, row: Any
    ) -> dict[str, str]:
        """Return address and browser of a session; those of an earlier version are in clear."""
        if row["personal"] is None:
            return {"address": row["address"], "agent": row["agent"]}
        plain = await self.vault.open(connection, account, _SESSION, bytes(row["personal"]))
        return json.loads(plain) if plain else {"address": "", "agent": ""}

    async def change(
        self,
        account: UUID,
        role: Role,
        *,
        disabled: bool,
        by: UUID,
        now: datetime,
        reach: Reach | None = None,
    ) -> None:
        """Set an account's role, whether it is disabled, and its reach.

        Its sessions end, and the links that it made, unless only the reach is another: that counts
        from the next request on.

        Raises:
            NotFound: there is no such account.
            Conflict: no admin would be left, or an admin would be limited.
        """
        check_reach(role, reach)
        reach = reach or Reach()
        async with self._database.transaction() as connection:
            if role is not Role.ADMIN or disabled:
                await self.keep_an_admin(connection, account)
            before = await rows.find_account(connection, self._tenant, account)
            if before is None:
                raise NotFound("There is no such account.")
            await rows.change_account(
                connection,
                self._tenant,
                account,
                role=role,
                disabled=disabled,
                stations=sorted(reach.stations),
                lots=sorted(reach.lots),
            )
            if (before["role"], before["disabled"]) != (role, disabled):
                await rows.end_sessions(connection, self._tenant, account)
                await rows.remove_recovery_links(connection, self._tenant, account)
                await rows.remove_links_made_by(connection, self._tenant, account)
            await self.audit.add(
                connection,
                Action.ACCOUNT_CHANGED,
                by=by,
                person=account,
                now=now,
                role=role,
                disabled=str(disabled).lower(),
                reach=reach.words,
            )

    async def keep_an_admin(self, connection: PostgresConnection, account: UUID) -> None:
        """Lock the accounts, before an account stops being an admin.

        Raises:
            Conflict: it is the last one.
        """
        await rows.lock_accounts(connection, self._tenant)
        found = await rows.find_account(connection, self._tenant, account)
        admin = found is not None and found["role"] == Role.ADMIN and not found["disabled"]
        if admin and not await rows.other_admins(connection, self._tenant, account):
            raise Conflict("The last admin stays one; make another one first.")

    async def add_token(
        self,
        name: str,
        scope: Scope,
        now: datetime,
        *,
        by: UUID | str = MACHINE,
        expires_at: datetime | None = None,
        origins: frozenset[str] = frozenset(),
        per_minute: int | None = None,
        reach: Reach | None = None,
    ) -> str:
        """Return a new token, in place of an earlier one of the same name.

        Pages of `origins` may use it in a browser, and it makes `per_minute` requests at most.

        Raises:
            Conflict: it would be limited, and is not for cards.
        """
        if reach is not None and scope not in {Scope.READ, Scope.WRITE}:
            raise Conflict("Only tokens that read or write are limited to stations or lots.")
        token = TOKEN_PREFIX + new_secret()
        reach = reach or Reach()
        async with self._database.transaction() as connection:
            await rows.set_token(
                connection,
                self._tenant,
                digest_of(token),
                name=name,
                scope=scope,
                now=now,
                expires_at=expires_at,
                origins=sorted(origins),
                per_minute=per_minute,
                stations=sorted(reach.stations),
                lots=sorted(reach.lots),
            )
            await self.audit.add(
                connection,
                Action.TOKEN_MADE,
                by=by,
                now=now,
                token=name,
                scope=scope,
                reach=reach.words,
            )
            await notify(connection, self._tenant, Subject.TOKENS)
        self.token_changes += 1
        return token

    async def remove_token(self, name: str, now: datetime, *, by: UUID) -> None:
        """Remove a token: what has it is refused from now on.

        Raises:
            NotFound: there is none of that name.
        """
        async with self._database.transaction() as connection:
            if not await rows.remove_token(connection, self._tenant, name):
                raise NotFound("There is no such token.")
            await self.audit.add(connection, Action.TOKEN_REMOVED, by=by, now=now, token=name)
            await notify(connection, self._tenant, Subject.TOKENS)
        self.token_changes += 1

    async def takes_origin(self, origin: str) -> bool:
        """Return whether pages of an origin may use any token."""
        return await rows.has_token_for(self._database, self._tenant, origin)

    async def begin_session(
        self, account: UUID, password: str, *, address: str, agent: str, now: datetime
    ) -> str | None:
        """Begin a session; None where the account was disabled, or its password changed, since."""
        secret = new_secret()
        await rows.end_old_sessions(
            self._database,
            self._tenant,
            seen_before=now - max(IDLE.values()),
            begun_before=now - max(LONGEST.values()),
        )
        personal = {"address": address, "agent": agent[:MOST_AGENT]}
        async with self._database.transaction() as connection:
            sealed = await self.vault.seal(
                connection, account, _SESSION, canonical(personal).encode()
            )
            stage = await rows.begin_session(
                connection,
                self._tenant,
                digest_of(secret),
                account,
                password=password,
                personal=sealed,
                now=now,
            )
            if stage == "whole":
                await self.audit.add_own(
                    connection, Action.SIGNED_IN, account, personal=personal, now=now
                )
        return secret if stage else None

    async def _hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _verify(self, hashed: str, password: str) -> bool:
        async with self._hashing:
            return await asyncio.to_thread(self._matches, hashed, password[: MOST_PASSWORD + 1])

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False


def fold(name: str) -> str:
    """Return a name as it is compared: however it is written, it is one person's."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _person(by: UUID | str) -> UUID | None:
    return by if isinstance(by, UUID) else None


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> bytes:
    """Return the digest under which the database keeps a secret."""
    return sha256(secret.encode()).digest()


def check_reach(role: Role, reach: Reach | None) -> None:
    """Raise Conflict where an admin would be limited, who could lift it again."""
    if role is Role.ADMIN and reach is not None:
        raise Conflict("An admin is not limited to stations or lots; choose another role.")


def check_name(name: str) -> None:
    """Raise Conflict for a name that cannot be used."""
    if not usable_name(name):
        raise Conflict(f"A name has 1 to {MOST_NAME} letters.")


def usable_name(name: str, most: int = MOST_NAME) -> bool:
    """Return whether something may be called so, in `most` letters."""
    return 0 < len(name.strip()) <= most and name.strip().isprintable()


def _guesses(password: str, words: set[str]) -> float:
    """Return the decimal logarithm of the guesses that a password takes, by its patterns.

    Method: Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016.
    """
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its lists take 14 MB, and most processes need none

    return float(zxcvbn(password[:MOST_JUDGED], user_inputs=sorted(words))["guesses_log10"])


def check_token(name: str, origins: frozenset[str]) -> None:
    """Raise Conflict for a token's name or origins that cannot be used."""
    if not usable_name(name):
        raise Conflict(f"The name of a program has 1 to {MOST_NAME} letters.")
    if len(origins) > MOST_ORIGINS:
        raise Conflict(f"A token has {MOST_ORIGINS} origins at most.")
    for origin in sorted(origins):
        if not _ORIGIN.match(origin):
            raise Conflict(f"{origin} is no origin, such as https://shop.example.com.")


def check_password(password: str, *near: str) -> None:
    """Raise Conflict for a password that is too short, too long, or easily guessed.

    `near` are words that it must not consist of: the account's name, the tenant.
    """
    if len(password) < LEAST_PASSWORD:
        raise Conflict(f"A password has at least {LEAST_PASSWORD} characters.")
    if len(password) > MOST_PASSWORD:
        raise Conflict(f"A password has at most {MOST_PASSWORD} characters.")
    folded = fold(password)
    words = {fold(word) for word in (*near, "cardmint") if word.strip()}
    if _guesses(password, words) < _GUESSES or any(
        len(folded.replace(word, "")) < LEAST_PASSWORD // 2 for word in words
    ):
        raise Conflict("That password is easily guessed; take a longer sentence.")
