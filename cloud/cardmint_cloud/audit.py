"""The audit log: who did what to accounts, links, tokens and personal data.

An entry names people by their account's identifier; what else is personal, such as an address, is
sealed by their key. So a person can be erased, and the chain still holds.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import structlog

from cardmint_cloud.adapters.postgres import audit as rows
from cardmint_cloud.adapters.postgres.connection import PostgresConnection, TenantDatabase
from cardmint_cloud.adapters.postgres.retry import DATABASE_AWAY
from cardmint_cloud.domain.audit_chain import (
    FIRST,
    Anchor,
    ChainEntry,
    ChainReport,
    canonical,
    check_chain,
    link,
)
from cardmint_cloud.errors import StopService
from cardmint_cloud.vault import Vault

LOOK_EVERY_S = 600.0
_log = structlog.get_logger(__name__)

MACHINE = "machine"
"""Who acts by a command on the machine, where nobody signs in."""


class Action(StrEnum):
    """What an entry tells of."""

    SIGNED_IN = "signed-in"
    SIGN_IN_REFUSED = "sign-in-refused"
    SIGNED_OUT = "signed-out"
    PROVED = "proved"
    PROOF_REFUSED = "proof-refused"
    JOINED = "joined"
    INVITED = "invited"
    LINK_REMOVED = "link-removed"
    ACCOUNT_CHANGED = "account-changed"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - a name
    SESSIONS_ENDED = "sessions-ended"
    IDENTITY_CONNECTED = "identity-connected"
    IDENTITY_REMOVED = "identity-removed"
    FACTOR_ADDED = "factor-added"
    FACTOR_REMOVED = "factor-removed"
    RECOVERY_CODES_MADE = "recovery-codes-made"
    RECOVERY_CODE_USED = "recovery-code-used"
    RECOVERY_LINK_MADE = "recovery-link-made"
    RECOVERED = "recovered"
    TOKEN_MADE = "token-made"  # noqa: S105 - a name
    TOKEN_REMOVED = "token-removed"  # noqa: S105 - a name
    STATION_CODE_MADE = "station-code-made"
    READER_MADE = "reader-made"
    READER_REMOVED = "reader-removed"
    WEBHOOK_MADE = "webhook-made"
    WEBHOOK_ROTATED = "webhook-secret-made"
    WEBHOOK_REMOVED = "webhook-removed"
    VIEW_LINK_MADE = "view-link-made"
    VIEW_LINK_REMOVED = "view-link-removed"
    PERSON_EXPORTED = "person-exported"
    PERSON_ERASED = "person-erased"
    MASTER_KEY_CHANGED = "master-key-changed"


class AuditLog:
    """The log of one tenant."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self.tenant = self._tenant = vault.tenant

    async def add(
        self,
        connection: PostgresConnection,
        action: Action,
        *,
        by: UUID | str,
        now: datetime,
        person: UUID | None = None,
        personal: Mapping[str, str] | None = None,
        **facts: str,
    ) -> None:
        """Add an entry in the transaction of what it tells of.

        `by` acts, on `person` where it is about one. `personal` is sealed by the person's key;
        `facts` must say nothing personal.
        """
        await rows.lock(connection, self._tenant)
        number, before = await rows.head(connection, self._tenant) or (0, FIRST)
        number += 1
        sealed = ""
        if person is not None and personal:
            plain = canonical(personal).encode()
            content = await self._vault.seal(connection, person, f"audit/{number}", plain)
            sealed = base64.b64encode(content).decode()
        entry = canonical(
            {
                "tenant": self._tenant,
                "number": number,
                "at": now.isoformat(),
                "action": action,
                "by": str(by),
                "person": str(person or ""),
                "facts": facts,
                "sealed": sealed,
            }
        )
        linked = ChainEntry(number=number, entry=entry, hash=link(before, entry))
        await rows.add(connection, self._tenant, linked, now)

    async def add_own(
        self,
        connection: PostgresConnection,
        action: Action,
        account: UUID,
        *,
        now: datetime,
        personal: Mapping[str, str] | None = None,
        **facts: str,
    ) -> None:
        """Add an entry of what a person did about the own account."""
        await self.add(
            connection,
            action,
            by=account,
            person=account,
            now=now,
            personal=personal,
            **facts,
        )

    async def verify(
        self, connection: PostgresConnection, anchors: Sequence[Anchor]
    ) -> ChainReport:
        """Check the whole chain, and the anchors of it that are kept elsewhere."""
        found = [one async for one in rows.read_all(connection, self._tenant)]
        return check_chain(self._tenant, found, anchors)

    async def latest(
        self, database: TenantDatabase, before: int, limit: int
    ) -> list[dict[str, Any]]:
        """Return the entries below a number, the last one first, opened as far as they can be."""
        async with database.transaction() as connection:
            found = await rows.latest(connection, self._tenant, before, limit)
            return [await self.opened(connection, row["entry"]) for row in found]

    async def opened(self, connection: PostgresConnection, entry: str) -> dict[str, Any]:
        """Return an entry's values; `personal` is None where the person was erased."""
        values: dict[str, Any] = json.loads(entry)
        sealed, person = values.pop("sealed"), values["person"]
        values["personal"] = {}
        if sealed:
            plain = await self._vault.open(
                connection,
                UUID(person),
                f"audit/{values['number']}",
                base64.b64decode(sealed),
            )
            values["personal"] = json.loads(plain) if plain else None
        values["at"] = datetime.fromisoformat(values["at"])
        return values

    async def anchor(self, database: TenantDatabase, file: Path, now: datetime) -> Anchor:
        """Write the head of the chain to a file outside of the database.

        Raises:
            StopService: the file cannot be written.
        """
        number, head = await rows.head(database, self._tenant) or (0, FIRST)
        made = Anchor(tenant=self._tenant, number=number, hash=head.hex(), at=now.isoformat())
        try:
            with file.open("a") as written:
                written.write(json.dumps(asdict(made)) + "\n")
        except OSError as error:
            raise StopService(f"{file}: cannot be written: {error.strerror}") from None
        return made


async def keep_anchored(
    log: AuditLog,
    database: TenantDatabase,
    file: Path,
    clock: Callable[[], datetime],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Anchor the log whenever it grew, every ten minutes at most, for as long as it runs.

    What fails is tried again.
    """
    while True:
        try:
            await anchor_if_grown(log, database, file, clock())
        except (StopService, *DATABASE_AWAY) as error:
            _log.warning("the audit log is not anchored", error=str(error))
        await sleep(LOOK_EVERY_S)


async def anchor_if_grown(
    log: AuditLog, database: TenantDatabase, file: Path, now: datetime
) -> None:
    """Anchor the log, unless its head is the one that was anchored last, today.

    Raises:
        StopService: the file cannot be read or written.
    """
    own = [one for one in read_anchors(file) or () if one.tenant == log.tenant]
    number, _ = await rows.head(database, log.tenant) or (0, FIRST)
    if not own or own[-1].number != number or own[-1].at[:10] != now.date().isoformat():
        await log.anchor(database, file, now)


def read_anchors(file: Path) -> list[Anchor] | None:
    """Return the anchors of a file; None where it is missing.

    Raises:
        StopService: it cannot be read, or a line is no anchor.
    """
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StopService(f"{file}: cannot be read: {error}") from None
    try:
        return [msgspec.json.decode(line, type=Anchor) for line in lines if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StopService(f"{file}: a line is no anchor: {error}") from None
