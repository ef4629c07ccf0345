"""Accounts of people and tokens of programs: how one proves who it is.

Passwords are hashed by Argon2id. Sessions, links and tokens are random; the database has only their
SHA-256.
"""

import asyncio
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cardmint_cloud.adapters.postgres import accounts as rows
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.domain.permissions import Role, Scope
from cardmint_cloud.domain.sign_in_pace import SignInPace
from cardmint_cloud.errors import Conflict, NotFound

LINK_LIFE = timedelta(hours=24)
IDLE = {True: timedelta(hours=12), False: timedelta(days=7)}
LONGEST = {True: timedelta(days=7), False: timedelta(days=30)}
"""How long a session lasts without use, and in all; True is for admins."""

TOUCH_EVERY = timedelta(minutes=1)
LEAST_PASSWORD = 12
MOST_PASSWORD = 200
MOST_NAME = 60
TOKEN_PREFIX = "cm_"  # noqa: S105 - so that secret scanners find one
_SECRET_BYTES = 32
_LINK_GONE = "This link was used or is too old; ask for a new one."
_COMMON = frozenset({"password1234", "passwordpassword", "123456789012", "qwertyuiopas"})


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """A person with a session, whose digest is its name in the database."""

    account: UUID
    name: str
    role: Role
    session: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A program or station with a token."""

    name: str
    scope: Scope


class TooSoon(Exception):
    """A password may not be tried yet: `seconds` are left."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"wait {seconds:.0f} s before the next try")
        self.seconds = seconds


class Accounts:
    """The accounts of one tenant."""

    def __init__(self, pool: Pool, tenant: str) -> None:
        self._database = TenantDatabase(pool, tenant)
        self._tenant = tenant
        self._pace = SignInPace()
        # 19 MiB each and two at a time: a small machine has that to spare.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 << 10, parallelism=1)
        self._hashing = asyncio.Semaphore(2)
        # Nothing matches it: so an unknown name takes as long as a known one.
        self._nobody = self._hasher.hash(new_secret())

    async def sign_in(
        self, name: str, password: str, *, address: str, agent: str, now: datetime, clock: float
    ) -> str | None:
        """Return the secret of a new session; None for a wrong name or password.

        `clock` is in seconds, for the pace of tries.

        Raises:
            TooSoon: there were too many wrong tries.
        """
        if not usable_name(name):
            return None
        folded = fold(name)
        known = await rows.has_signed_in_from(self._database, self._tenant, folded, address)
        wait = self._pace.seconds_to_wait(folded, address, clock, known=known)
        if wait > 0:
            raise TooSoon(wait)
        # Counted before the answer is known: many tries at once are no way around the pauses.
        self._pace.wrong(folded, address, clock, known=known)
        found = await rows.account_named(self._database, self._tenant, folded)
        right = await self._verify(found["password"] if found else self._nobody, password)
        if not right or found is None or found["disabled"]:
            return None
        self._pace.right(folded, address)
        return await self._begin(
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
        if now - row["seen_at"] > IDLE[admin] or now - row["began_at"] > LONGEST[admin]:
            return None
        if use and now - row["seen_at"] > TOUCH_EVERY:
            await rows.touch_session(self._database, self._tenant, digest, now)
        return SignedIn(account=row["account"], name=row["name"], role=role, session=digest)

    async def program(self, token: str, now: datetime) -> Program | None:
        """Return whose token it is; None where it is none."""
        digest = digest_of(token)
        row = await rows.token_of(self._database, self._tenant, digest)
        if row is None:
            return None
        if row["used_at"] is None or now - row["used_at"] > TOUCH_EVERY:
            await rows.touch_token(self._database, self._tenant, digest, now)
        return Program(name=row["name"], scope=Scope(row["scope"]))

    async def sign_out(self, who: SignedIn, session: bytes | None = None) -> None:
        """End a session: the own one, or another one of the same account."""
        await rows.end_session(self._database, self._tenant, who.account, session or who.session)

    async def invite(self, role: Role, now: datetime) -> str:
        """Return the secret of a link that makes one account, once, within a day."""
        secret = new_secret()
        await rows.add_link(self._database, self._tenant, digest_of(secret), role, now + LINK_LIFE)
        return secret

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
            raise NotFound(_LINK_GONE)
        check_name(name)
        check_password(password, name, self._tenant)
        hashed = await self._hash(password)
        async with self._database.transaction() as connection:
            role = await rows.take_link(connection, self._tenant, digest_of(secret), now)
            if role is None:
                raise NotFound(_LINK_GONE)
            account = uuid4()
            added = await rows.add_account(
                connection,
                self._tenant,
                account,
                name=name.strip(),
                folded=fold(name),
                role=role,
                password=hashed,
                now=now,
            )
            if not added:
                raise Conflict("Somebody has this name already; take another one.")
        begun = await self._begin(account, hashed, address=address, agent=agent, now=now)
        if begun is None:
            raise NotFound("An admin has disabled this account already.")
        return begun

    async def change_password(self, who: SignedIn, present: str, new: str, *, clock: float) -> None:
        """Change a person's password, and end their other sessions.

        `clock` is in seconds, for the pace of tries: a session alone is no way to the password.

        Raises:
            Conflict: the present one is wrong, or the new one cannot be used.
            TooSoon: there were too many wrong tries.
        """
        pace = (str(who.account), str(who.account))
        wait = self._pace.seconds_to_wait(*pace, clock, known=True)
        if wait > 0:
            raise TooSoon(wait)
        self._pace.wrong(*pace, clock, known=True)
        hashed = await rows.password_of(self._database, self._tenant, who.account)
        if hashed is None or not await self._verify(hashed, present):
            raise Conflict("The present password is wrong.")
        self._pace.right(*pace)
        check_password(new, who.name, self._tenant)
        changed = await self._hash(new)
        async with self._database.transaction() as connection:
            await rows.set_password(connection, self._tenant, who.account, changed)
            await rows.end_sessions(connection, self._tenant, who.account, who.session)

    async def change(self, account: UUID, role: Role, *, disabled: bool) -> None:
        """Set an account's role, and whether it is disabled; its sessions end.

        Raises:
            NotFound: there is no such account.
            Conflict: no admin would be left.
        """
        async with self._database.transaction() as connection:
            await rows.lock_accounts(connection, self._tenant)
            stays_admin = role is Role.ADMIN and not disabled
            if not stays_admin and not await rows.other_admins(connection, self._tenant, account):
                raise Conflict("The last admin stays one; make another one first.")
            changed = await rows.change_account(
                connection, self._tenant, account, role=role, disabled=disabled
            )
            if not changed:
                raise NotFound("There is no such account.")
            await rows.end_sessions(connection, self._tenant, account)

    async def add_token(self, name: str, scope: Scope, now: datetime) -> str:
        """Return a new token, in place of an earlier one of the same name."""
        token = TOKEN_PREFIX + new_secret()
        await rows.set_token(
            self._database, self._tenant, digest_of(token), name=name, scope=scope, now=now
        )
        return token

    async def _begin(
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
        begun = await rows.begin_session(
            self._database,
            self._tenant,
            digest_of(secret),
            account,
            password=password,
            address=address,
            agent=agent[:200],
            now=now,
        )
        return secret if begun else None

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


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> bytes:
    """Return the digest under which the database keeps a secret."""
    return sha256(secret.encode()).digest()


def check_name(name: str) -> None:
    """Raise Conflict for a name that cannot be used."""
    if not usable_name(name):
        raise Conflict(f"A name has 1 to {MOST_NAME} letters.")


def usable_name(name: str) -> bool:
    """Return whether an account may have a name."""
    return 0 < len(name.strip()) <= MOST_NAME and name.strip().isprintable()


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
    guessed = folded in _COMMON or len(set(folded)) < 4
    if guessed or any(len(folded.replace(word, "")) < LEAST_PASSWORD // 2 for word in words):
        raise Conflict("That password is easily guessed; take a longer sentence.")
