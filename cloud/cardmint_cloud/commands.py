"""The commands of `cardmint-cloud` that do one thing and end."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from cardmint_cloud import catalogue_import, fleet, log_months
from cardmint_cloud.accounts import Accounts, check_token
from cardmint_cloud.adapters.postgres import accounts as account_rows
from cardmint_cloud.adapters.postgres import feed
from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    PostgresConnection,
    TenantDatabase,
    owner_connection,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.feed import FeedMark
from cardmint_cloud.adapters.postgres.fleet import desired
from cardmint_cloud.adapters.postgres.ingest import dead_letters as dead_letter_rows
from cardmint_cloud.adapters.postgres.ingest import identity
from cardmint_cloud.adapters.postgres.ingest.identity import DatabaseIdentity
from cardmint_cloud.adapters.postgres.ingest.log_months import RetiredMonth
from cardmint_cloud.adapters.postgres.migrate import check_revision, engine_for, migrate
from cardmint_cloud.adapters.postgres.prices import quotes
from cardmint_cloud.adapters.sealing import load_master_keys, write_master_keys
from cardmint_cloud.app import database
from cardmint_cloud.audit import MACHINE, Action, read_anchors
from cardmint_cloud.catalogue_import import ImportSummary
from cardmint_cloud.domain.audit_chain import Anchor, ChainReport
from cardmint_cloud.domain.permissions import Role, Scope
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.errors import StopService
from cardmint_cloud.ingest import dead_letters
from cardmint_cloud.persons import Erased, Persons
from cardmint_cloud.settings import CloudSettings
from cardmint_contracts.control import DesiredConfig, Manifest
from cardmint_contracts.prices import LastPrice

T = TypeVar("T")


async def migrate_database(settings: CloudSettings) -> str:
    """Bring the database to this version's tables and return their revision."""
    engine = engine_for(settings.owner)
    try:
        return await migrate(engine, settings.database)
    finally:
        await engine.dispose()


def run_checked(address: str, work: Coroutine[Any, Any, T]) -> T:
    """Check the revision of the database at `address`, then run `work`, which connects by itself.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def check_and_work() -> T:
        engine = engine_for(address)
        try:
            await check_revision(engine)
        finally:
            await engine.dispose()
        return await work

    try:
        return asyncio.run(check_and_work())
    finally:
        work.close()


def list_dead_letters(settings: CloudSettings, limit: int) -> list[dict[str, Any]]:
    """Return the tenant's oldest dead letters without their payloads.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> list[dict[str, Any]]:
        async with (
            database(settings) as pool,
            tenant_transaction(pool, settings.tenant) as connection,
        ):
            return await dead_letter_rows.list_oldest(connection, settings.tenant, limit)

    return asyncio.run(run())


def replay_letter(settings: CloudSettings, letter: int) -> int:
    """Put a dead letter of the tenant through ingest again; return how many events it applied.

    Raises:
        NotFound: the tenant has no such dead letter.
        ParkItem: it still cannot be used.
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> int:
        async with database(settings) as pool:
            result = await dead_letters.replay(pool, settings.tenant, letter, datetime.now(UTC))
            return result.applied

    return asyncio.run(run())


def replay_letters(settings: CloudSettings, reason: str | None) -> tuple[int, int]:
    """Replay all dead letters of the tenant, or those with `reason`.

    Return how many were used, and how many stay.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> tuple[int, int]:
        async with database(settings) as pool:
            now = datetime.now(UTC)
            return await dead_letters.replay_all(pool, settings.tenant, now, reason=reason)

    return asyncio.run(run())


def discard_letter(settings: CloudSettings, letter: int) -> None:
    """Delete a dead letter of the tenant.

    Raises:
        NotFound: the tenant has no such dead letter.
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> None:
        async with database(settings) as pool:
            await dead_letters.discard(pool, settings.tenant, letter)

    asyncio.run(run())


def invite(settings: CloudSettings, role: Role) -> str:
    """Return the path of a one-time link that makes an account.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> str:
        async with database(settings) as pool:
            secret = await _accounts(settings, pool).invite(role, datetime.now(UTC))
            return f"/join/{secret}"

    return asyncio.run(run())


def recovery_link(settings: CloudSettings, name: str, *, drops_factors: bool) -> str:
    """Return the path of a one-time link by which a person sets the password anew.

    Raises:
        NotFound: nobody has that name.
        RetryLater: the database is away.
        StopService: the settings of the database do not work, or there is no master key.
    """

    async def run() -> str:
        async with database(settings) as pool:
            accounts = _accounts(settings, pool)
            account = await accounts.account_named(name)
            secret = await accounts.recovery_link(
                account, datetime.now(UTC), drops_factors=drops_factors
            )
            return f"/recover/{secret}"

    return asyncio.run(run())


def verify_audit(settings: CloudSettings, anchors: Path | None) -> ChainReport:
    """Check the tenant's audit log, against the anchors of a file.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database or the file do not work, or the file is missing.
    """
    file = anchors or (Path(settings.audit_anchors) if settings.audit_anchors else None)
    kept = read_anchors(file) if file else []
    if kept is None:
        raise StopService(
            f"{file}: the anchors of the audit log are missing: without them nobody sees whether"
            " its last entries were removed; put the file back from where it is copied to"
        )

    async def run() -> ChainReport:
        async with (
            database(settings, command_s=None) as pool,
            tenant_transaction(pool, settings.tenant) as connection,
        ):
            return await _accounts(settings, pool).audit.verify(connection, kept)

    return asyncio.run(run())


def anchor_audit(settings: CloudSettings, file: Path) -> Anchor:
    """Write the head of the tenant's audit log to a file.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database or the file do not work.
    """

    async def run() -> Anchor:
        async with database(settings) as pool:
            audit = _accounts(settings, pool).audit
            tenant = TenantDatabase(pool, settings.tenant)
            return await audit.anchor(tenant, file, datetime.now(UTC))

    return asyncio.run(run())


def export_person(settings: CloudSettings, name: str) -> dict[str, Any]:
    """Return what is kept of a person.

    Raises:
        NotFound: nobody has that name.
        RetryLater: the database is away.
        StopService: the settings of the database do not work, or a master key is missing.
    """

    async def run() -> dict[str, Any]:
        async with database(settings) as pool:
            return await Persons(_accounts(settings, pool)).export(name, datetime.now(UTC))

    return asyncio.run(run())


def erase_person(settings: CloudSettings, name: str) -> Erased:
    """Erase a person.

    Raises:
        NotFound: nobody has that name.
        Conflict: it is the last admin, or `database_owner` is missing and the log has the name.
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> Erased:
        async with contextlib.AsyncExitStack() as stack:
            pool = await stack.enter_async_context(database(settings))
            owner = (
                await stack.enter_async_context(owner_connection(settings.database_owner))
                if settings.database_owner
                else None
            )
            persons = Persons(_accounts(settings, pool))
            return await persons.erase(name, datetime.now(UTC), owner=owner)

    return asyncio.run(run())


def rotate_master_key(settings: CloudSettings) -> int:
    """Put a new master key before those of the file, and wrap all keys of the tenant's persons.

    Return how many were wrapped again.

    Raises:
        RetryLater: the database is away.
        StopService: there is no file of keys, or the settings of the database do not work.
    """
    if not settings.master_keys:
        raise StopService("master_keys: name the file; keys in the environment are yours to change")
    before = load_master_keys(settings.master_keys, {})
    renewed = before.with_new()

    async def run() -> int:
        async with database(settings) as pool:
            # The file first: without the new key in it, what it wraps would be lost.
            write_master_keys(Path(settings.master_keys), renewed)
            accounts = Accounts(pool, settings.tenant, renewed)
            async with tenant_transaction(pool, settings.tenant) as connection:
                wrapped = 0
                # Again until there are none: a running service may have used the earlier key yet.
                while more := await accounts.vault.wrap_again(connection):
                    wrapped += more
                await accounts.audit.add(
                    connection, Action.MASTER_KEY_CHANGED, by=MACHINE, now=datetime.now(UTC)
                )
            return wrapped

    return asyncio.run(run())


def _accounts(settings: CloudSettings, pool: Pool) -> Accounts:
    return Accounts(pool, settings.tenant, load_master_keys(settings.master_keys))


def has_accounts(settings: CloudSettings) -> bool:
    """Return whether anybody has an account.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> bool:
        async with database(settings) as pool:
            tenant = TenantDatabase(pool, settings.tenant)
            return await account_rows.count_accounts(tenant, settings.tenant) > 0

    return asyncio.run(run())


def add_token(
    settings: CloudSettings,
    name: str,
    scope: Scope,
    *,
    days: int | None = None,
    per_minute: int | None = None,
    origins: frozenset[str] = frozenset(),
    reach: Reach | None = None,
) -> str:
    """Return a new token for a program, in place of an earlier one of the same name.

    Raises:
        Conflict: name or origins cannot be used, or what it is for has no limits.
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """
    check_token(name, origins)
    now = datetime.now(UTC)

    async def run() -> str:
        async with database(settings) as pool:
            return await _accounts(settings, pool).add_token(
                name,
                scope,
                now,
                expires_at=now + timedelta(days=days) if days else None,
                per_minute=per_minute,
                origins=origins,
                reach=reach,
            )

    return asyncio.run(run())


def change_identity(
    settings: CloudSettings, *, renew: bool, replaced: Sequence[UUID]
) -> DatabaseIdentity:
    """Renew the database's identity, or name the databases that it replaces; return it.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run(connection: PostgresConnection) -> DatabaseIdentity:
        async with connection.transaction():
            if renew:
                await identity.renew_identity(connection)
            if replaced:
                await identity.replace_databases(connection, replaced)
            return await identity.read_identity(connection)

    return _run_as_owner(settings, run)


def list_months(settings: CloudSettings) -> log_months.LogMonths:
    """Return the months of the event log, in the database and in files.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """
    return _run_as_owner(settings, log_months.list_all)


def open_feed(settings: CloudSettings) -> FeedMark:
    """Begin the tenant's feed, unless it has one; return how far it is.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """
    now = datetime.now(UTC)
    return _run_as_tenant(
        settings, lambda connection: feed.open_feed(connection, settings.tenant, now)
    )


def make_months(settings: CloudSettings, ahead: int) -> None:
    """Make the log's partitions from this month to `ahead` months from now.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """
    now = datetime.now(UTC)
    _run_as_owner(settings, lambda connection: log_months.make_ahead(connection, now, ahead=ahead))


def retire_months(
    settings: CloudSettings, keep_months: int, *, archive_stays: bool = False
) -> list[RetiredMonth]:
    """Move the log's older months to files.

    `archive_stays` says that the archive's disk outlives this machine.

    Raises:
        RetryLater: the database is away, or the log is in use for long.
        StopService: the settings of the database do not work, a file is not what was written, or
            images are in a bucket and nobody said that the archive stays.
    """
    if settings.images.startswith("s3://") and not archive_stays:
        raise StopService(
            "archive: images are in a bucket, so the disk of this machine may end with it, and"
            f" months in {settings.archive} would be gone; run this where that folder is on a disk"
            " that stays, and say so by --archive-stays"
        )
    archive, now = Path(settings.archive), datetime.now(UTC)
    return _run_as_owner(
        settings,
        lambda connection: log_months.retire_before(
            connection, archive, now, keep_months=keep_months
        ),
    )


def last_prices(settings: CloudSettings) -> list[LastPrice]:
    """Return the current price of each of the tenant's cards.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """
    return _run_as_tenant(
        settings, lambda connection: quotes.last_prices(connection, settings.tenant)
    )


def publish_artifact(settings: CloudSettings, manifest: bytes, file: Path, url: str) -> Manifest:
    """Store a pack or models and publish the manifest to the tenant's stations.

    Raises:
        RetryLater: the database is away.
        StopService: the file is not what the manifest names, or the settings do not work.
    """
    signed = fleet.store_artifact(
        fleet.artifact_folder(settings.artifacts), settings.tenant, manifest, file, url
    )
    now = datetime.now(UTC)
    _run_as_tenant(
        settings,
        lambda connection: desired.put_artifact(connection, settings.tenant, signed, now),
    )
    return signed


def configure_station(
    settings: CloudSettings, station: str, changes: dict[str, Any]
) -> DesiredConfig:
    """Change the desired settings of a station of the tenant; return their new version.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """
    now = datetime.now(UTC)
    return _run_as_tenant(
        settings,
        lambda connection: desired.configure_station(
            connection, settings.tenant, station, changes, now
        ),
    )


def _run_as_tenant(settings: CloudSettings, use: Callable[[PostgresConnection], Awaitable[T]]) -> T:
    async def run() -> T:
        async with (
            database(settings, command_s=None) as pool,
            tenant_transaction(pool, settings.tenant) as connection,
        ):
            return await use(connection)

    return asyncio.run(run())


def _run_as_owner(settings: CloudSettings, use: Callable[[PostgresConnection], Awaitable[T]]) -> T:
    async def run() -> T:
        async with owner_connection(settings.owner) as connection:
            return await use(connection)

    return run_checked(settings.owner, run())


def import_catalogue(
    settings: CloudSettings, folder: Path, *, warn: Callable[[str], None], replace_worse: bool
) -> ImportSummary:
    """Import a catalogue's folder.

    Raises:
        RetryLater: the database is away.
        StopService: the folder or the settings of the database do not work.
    """
    now = datetime.now(UTC)
    return _run_as_owner(
        settings,
        lambda connection: catalogue_import.import_catalogue(
            connection, folder, now=now, warn=warn, replace_worse=replace_worse
        ),
    )
