"""Second factors: a code from an app, passkeys, and recovery codes, and the proof by them."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pyotp

from cardmint_cloud.accounts import MOST_AGENT, Accounts, SignedIn, digest_of, usable_name
from cardmint_cloud.adapters import passkeys
from cardmint_cloud.adapters.passkeys import Passkey
from cardmint_cloud.adapters.postgres import accounts as account_rows
from cardmint_cloud.adapters.postgres import factors as rows
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.audit import Action
from cardmint_cloud.domain.one_time_codes import (
    RECOVERY_BYTES,
    RECOVERY_CODES,
    accepted_step,
    plain_recovery_code,
    recovery_code,
    setup_address,
)
from cardmint_cloud.errors import Conflict, NotFound

MOST_FACTORS = 10
MOST_NAME = 40
CHALLENGE_LIFE = timedelta(minutes=5)
"""How long somebody has to sign in by a passkey."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """A second factor as its owner sees it."""

    factor: UUID
    kind: str
    name: str
    made_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TotpSetup:
    """What an app needs to make codes: the secret, also as the address of a QR code."""

    factor: UUID
    secret: str
    address: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What somebody sends to prove it: a code, or a passkey's answer to the site of `origin`."""

    code: str = ""
    passkey: str = ""
    origin: str = ""


class SecondFactors:
    """The second factors of one tenant's accounts."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._tenant = accounts.tenant
        self._database = accounts.database
        self._audit = accounts.audit
        self._vault = accounts.vault

    async def list_factors(self, who: SignedIn) -> list[Factor]:
        """Return the factors that are set up."""
        found = await rows.list_factors(self._database, self._tenant, who.account)
        return [
            Factor(
                factor=row["factor"],
                kind=row["kind"],
                name=row["name"],
                made_at=row["made_at"],
                used_at=row["used_at"],
            )
            for row in found
            if row["confirmed"]
        ]

    async def codes_left(self, who: SignedIn) -> int:
        """Return how many recovery codes are left."""
        return await rows.count_recovery_codes(self._database, self._tenant, who.account)

    async def begin_totp(self, who: SignedIn, now: datetime) -> TotpSetup:
        """Begin to set up an app, in place of one that was begun before.

        Raises:
            Conflict: there are too many factors.
        """
        secret, factor = pyotp.random_base32(), uuid4()
        async with self._database.transaction() as connection:
            await rows.remove_unconfirmed(connection, self._tenant, who.account)
            await self._room(connection, who)
            sealed = await self._vault.seal(
                connection, who.account, f"factor/{factor}", secret.encode()
            )
            await rows.add_factor(
                connection,
                self._tenant,
                who.account,
                factor,
                kind="totp",
                name="App",
                secret=sealed,
                now=now,
            )
        return self._setup(who, factor, secret)

    async def totp_setup(self, who: SignedIn) -> TotpSetup | None:
        """Return the app that is being set up; None where none is."""
        async with self._database.transaction() as connection:
            for row in await rows.list_factors(connection, self._tenant, who.account):
                if not row["confirmed"]:
                    secret = await self._totp_secret(connection, who.account, row)
                    return self._setup(who, row["factor"], secret) if secret else None
        return None

    async def confirm_totp(
        self, who: SignedIn, code: str, *, now: datetime, clock: float
    ) -> tuple[str, ...]:
        """Finish setting up an app by its first code; return new recovery codes, if these are due.

        The account's other sessions end.

        Raises:
            Conflict: the code is wrong, or nothing was begun.
            TooSoon: there were too many wrong tries.
        """
        self._accounts.count_try(who.account, clock)
        async with self._database.transaction() as connection:
            found = await rows.list_factors(connection, self._tenant, who.account)
            row = next((row for row in found if not row["confirmed"]), None)
            secret = await self._totp_secret(connection, who.account, row) if row else None
            if row is None or secret is None:
                raise Conflict("Begin to set up the app again.")
            step = accepted_step(secret, code, now.timestamp(), row["counter"])
            if step is None:
                raise Conflict(
                    "That code is wrong; wait for the next one. Is the phone's time right?"
                )
            await rows.use_factor(
                connection,
                self._tenant,
                row["factor"],
                before=row["counter"],
                after=step,
                now=now,
            )
            codes = await self._added(connection, who, kind="totp", name="App", now=now)
        self._accounts.forget_tries(who.account)
        return codes

    async def begin_passkey(self, who: SignedIn, origin: str) -> str:
        """Return the options, as JSON, with which a browser makes a passkey for `origin`."""
        known = await self._credentials(who)
        asked = passkeys.ask_to_register(
            origin, tenant=self._tenant, name=who.name, account=who.account, known=known
        )
        await rows.set_challenge(self._database, self._tenant, who.session, asked.challenge)
        return asked.options

    async def add_passkey(
        self, who: SignedIn, answer: str, *, origin: str, name: str, now: datetime
    ) -> tuple[str, ...]:
        """Add the passkey that a browser made; return new recovery codes, if these are due.

        The account's other sessions end.

        Raises:
            Conflict: the answer is not to what was asked, or the name cannot be used.
        """
        name = name.strip() if usable_name(name, MOST_NAME) else "Passkey"
        async with self._database.transaction() as connection:
            challenge = await rows.take_challenge(connection, self._tenant, who.session)
        made = (
            passkeys.registered(answer, challenge=challenge, origin=origin) if challenge else None
        )
        if made is None:
            raise Conflict("That passkey could not be added; try again.")
        async with self._database.transaction() as connection:
            await self._room(connection, who)
            added = await rows.add_factor(
                connection,
                self._tenant,
                who.account,
                uuid4(),
                kind="passkey",
                name=name,
                secret=made.public_key,
                credential=made.credential,
                counter=made.count,
                confirmed=True,
                now=now,
            )
            if not added:
                raise Conflict("That passkey is known already.")
            return await self._added(connection, who, kind="passkey", name=name, now=now)

    async def remove(self, who: SignedIn, factor: UUID, now: datetime) -> None:
        """Remove a factor; the account's other sessions end.

        Raises:
            NotFound: there is no such factor.
            Conflict: it is the last one of an account that needs one.
        """
        async with self._database.transaction() as connection:
            await account_rows.lock_accounts(connection, self._tenant)
            kind = await rows.remove_factor(connection, self._tenant, who.account, factor)
            if kind is None:
                raise NotFound("There is no such factor.")
            left = await rows.list_factors(connection, self._tenant, who.account)
            if not any(row["confirmed"] for row in left):
                if self._accounts.needs_factor(who.role):
                    raise Conflict("You need a second factor; add another one first.")
                await rows.set_recovery_codes(connection, self._tenant, who.account, [])
            await account_rows.end_sessions(connection, self._tenant, who.account, who.session)
            await self._audit.add_own(
                connection,
                Action.FACTOR_REMOVED,
                who.account,
                now=now,
                kind=kind,
            )

    async def new_recovery_codes(self, who: SignedIn, now: datetime) -> tuple[str, ...]:
        """Return new recovery codes; earlier ones are gone.

        Raises:
            Conflict: the account has no factor for which they could stand.
        """
        if not who.factors:
            raise Conflict("Set up a second factor first.")
        async with self._database.transaction() as connection:
            return await self._make_codes(connection, who, now)

    async def ask_passkey(self, who: SignedIn, origin: str) -> str:
        """Return the options, as JSON, by which a known passkey signs; empty for none."""
        known = await self._credentials(who)
        if not known or not passkeys.can_have_passkeys(origin):
            return ""
        asked = passkeys.ask_to_sign(origin, known)
        await rows.set_challenge(self._database, self._tenant, who.session, asked.challenge)
        return asked.options

    async def ask_anybody(self, origin: str, now: datetime) -> str:
        """Return the options, as JSON, by which somebody signs in by a passkey alone.

        Raises:
            NotFound: browsers have no passkeys for this address.
        """
        if not passkeys.can_have_passkeys(origin):
            raise NotFound("Passkeys need a name for this address, and HTTPS.")
        asked = passkeys.ask_anybody(origin)
        async with self._database.transaction() as connection:
            await rows.add_passkey_challenge(
                connection,
                self._tenant,
                asked.challenge,
                now=now,
                expires_at=now + CHALLENGE_LIFE,
            )
        return asked.options

    async def sign_in(
        self, answer: str, *, origin: str, address: str, agent: str, now: datetime
    ) -> str | None:
        """Return the secret of a new session for who signed by a passkey; None for a wrong answer.

        The passkey knows its user by a PIN or a fingerprint: no other factor is asked for.
        """
        told = passkeys.told_by(answer)
        if told is None:
            return None
        if not await rows.take_passkey_challenge(self._database, self._tenant, told.challenge, now):
            return None
        row = await rows.passkey_of(self._database, self._tenant, told.credential)
        if row is None or row["account"].bytes != told.owner:
            return None
        known = Passkey(
            credential=told.credential, public_key=bytes(row["secret"]), count=row["counter"]
        )
        count = passkeys.signed_count(answer, known, challenge=told.challenge, origin=origin)
        if count is None:
            await self._refused(row["account"], address, agent, now)
            return None
        used = await rows.use_factor(
            self._database, self._tenant, row["factor"], before=known.count, after=count, now=now
        )
        begun = (
            await self._accounts.begin_session(
                row["account"], row["password"], address=address, agent=agent, now=now
            )
            if used
            else None
        )
        who = await self._accounts.signed_in(begun, now) if begun else None
        return await self._accounts.renew_session(who, now, Action.SIGNED_IN) if who else None

    async def _refused(self, account: UUID, address: str, agent: str, now: datetime) -> None:
        async with self._database.transaction() as connection:
            await self._audit.add(
                connection,
                Action.SIGN_IN_REFUSED,
                by="",
                person=account,
                personal={"address": address, "agent": agent[:MOST_AGENT]},
                now=now,
            )

    async def finish(
        self, who: SignedIn, proof: Proof, *, now: datetime, clock: float
    ) -> str | None:
        """End a sign-in by a second factor: return the secret of the whole session.

        None for a wrong code or passkey.

        Raises:
            TooSoon: there were too many wrong tries.
        """
        if not await self._proven(who, proof, now=now, clock=clock):
            return None
        return await self._accounts.renew_session(who, now, Action.SIGNED_IN)

    async def prove(
        self, who: SignedIn, password: str, proof: Proof, *, now: datetime, clock: float
    ) -> str | None:
        """Prove again who asks, by password and factor or by a passkey; return a new secret.

        None for a wrong one.

        Raises:
            TooSoon: there were too many wrong tries.
        """
        right = bool(proof.passkey) or await self._accounts.is_password(
            who, password, now=now, clock=clock
        )
        if right and (proof.passkey or who.factors):
            right = await self._proven(who, proof, now=now, clock=clock)
        return await self._accounts.renew_session(who, now, Action.PROVED) if right else None

    async def _proven(self, who: SignedIn, proof: Proof, *, now: datetime, clock: float) -> bool:
        self._accounts.count_try(who.account, clock)
        async with self._database.transaction() as connection:
            if proof.passkey:
                right = await self._by_passkey(connection, who, proof, now)
            else:
                right = await self._by_code(connection, who, proof.code, now)
        if right:
            self._accounts.forget_tries(who.account)
        else:
            await self._accounts.note_refused_proof(
                who, "passkey" if proof.passkey else "code", now
            )
        return right

    async def _by_code(
        self, connection: PostgresConnection, who: SignedIn, code: str, now: datetime
    ) -> bool:
        for row in await rows.list_factors(connection, self._tenant, who.account):
            if row["kind"] != "totp" or not row["confirmed"]:
                continue
            secret = await self._totp_secret(connection, who.account, row)
            step = accepted_step(secret, code, now.timestamp(), row["counter"]) if secret else None
            if step is not None:
                return await rows.use_factor(
                    connection,
                    self._tenant,
                    row["factor"],
                    before=row["counter"],
                    after=step,
                    now=now,
                )
        digest = digest_of(plain_recovery_code(code))
        if not await rows.take_recovery_code(connection, self._tenant, who.account, digest):
            return False
        left = await rows.count_recovery_codes(connection, self._tenant, who.account)
        await self._audit.add_own(
            connection,
            Action.RECOVERY_CODE_USED,
            who.account,
            now=now,
            left=str(left),
        )
        return True

    async def _by_passkey(
        self, connection: PostgresConnection, who: SignedIn, proof: Proof, now: datetime
    ) -> bool:
        challenge = await rows.take_challenge(connection, self._tenant, who.session)
        credential = passkeys.credential_of(proof.passkey)
        found = await rows.list_factors(connection, self._tenant, who.account)
        row = next(
            (
                row
                for row in found
                if row["credential"] is not None and bytes(row["credential"]) == credential
            ),
            None,
        )
        if challenge is None or row is None:
            return False
        known = Passkey(
            credential=bytes(row["credential"]),
            public_key=bytes(row["secret"]),
            count=row["counter"],
        )
        count = passkeys.signed_count(
            proof.passkey, known, challenge=challenge, origin=proof.origin
        )
        return count is not None and await rows.use_factor(
            connection, self._tenant, row["factor"], before=known.count, after=count, now=now
        )

    async def _added(
        self, connection: PostgresConnection, who: SignedIn, *, kind: str, name: str, now: datetime
    ) -> tuple[str, ...]:
        await account_rows.end_sessions(connection, self._tenant, who.account, who.session)
        await self._audit.add_own(
            connection,
            Action.FACTOR_ADDED,
            who.account,
            personal={"name": name},
            now=now,
            kind=kind,
        )
        if await rows.count_recovery_codes(connection, self._tenant, who.account):
            return ()
        return await self._make_codes(connection, who, now)

    async def _make_codes(
        self, connection: PostgresConnection, who: SignedIn, now: datetime
    ) -> tuple[str, ...]:
        codes = tuple(
            recovery_code(secrets.token_bytes(RECOVERY_BYTES)) for _ in range(RECOVERY_CODES)
        )
        digests = [digest_of(plain_recovery_code(code)) for code in codes]
        await rows.set_recovery_codes(connection, self._tenant, who.account, digests)
        await self._audit.add_own(
            connection,
            Action.RECOVERY_CODES_MADE,
            who.account,
            now=now,
        )
        return codes

    async def _credentials(self, who: SignedIn) -> list[bytes]:
        found = await rows.list_factors(self._database, self._tenant, who.account)
        return [bytes(row["credential"]) for row in found if row["credential"] is not None]

    async def _room(self, connection: PostgresConnection, who: SignedIn) -> None:
        found = await rows.list_factors(connection, self._tenant, who.account)
        if len(found) >= MOST_FACTORS:
            raise Conflict(f"An account has {MOST_FACTORS} factors at most; remove one first.")

    async def _totp_secret(
        self, connection: PostgresConnection, account: UUID, row: Any
    ) -> str | None:
        place = f"factor/{row['factor']}"
        plain = await self._vault.open(connection, account, place, bytes(row["secret"]))
        return plain.decode() if plain else None

    def _setup(self, who: SignedIn, factor: UUID, secret: str) -> TotpSetup:
        address = setup_address(secret, who.name, f"CardMint {self._tenant}")
        return TotpSetup(factor=factor, secret=secret, address=address)
