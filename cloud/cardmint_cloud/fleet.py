"""Packs, models and settings for stations: stored here, published when they change."""

import asyncio
import hashlib
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from cardmint_cloud.adapters.postgres import across
from cardmint_cloud.adapters.postgres.catalogue import newest_sets
from cardmint_cloud.adapters.postgres.connection import Pool, tenant_transaction
from cardmint_cloud.adapters.postgres.fleet import desired
from cardmint_cloud.adapters.postgres.retry import retry_until_done
from cardmint_cloud.errors import StopService
from cardmint_contracts import topics
from cardmint_contracts.control import Manifest, decode_manifest, encode_manifest
from cardmint_contracts.errors import ContractError
from cardmint_contracts.http import artifact_path
from cardmint_contracts.wire import encode


class StationPublisher(Protocol):
    """The part of a broker connection that publishing to stations needs."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> asyncio.Future[None]:
        """Publish; the future is cancelled if the connection is lost before the broker has it."""
        ...


class FleetPublisher:
    """Publishes artifacts and settings of all stations, and the newest sets, as retained messages.

    Each run publishes everything: the messages stay at the broker.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._changed = asyncio.Event()
        self._connection = 0

    def changed(self) -> None:
        """Publish soon."""
        self._changed.set()

    def connected(self, connection: int) -> None:
        """Publish soon if the connection is new: the broker may have lost retained messages."""
        if connection != self._connection:
            self._connection = connection
            self.changed()

    async def run(self, link: StationPublisher) -> None:
        """Publish whenever something changed, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await retry_until_done("fleet", partial(self._tell, link))

    async def _tell(self, link: StationPublisher) -> None:
        newest = encode(await newest_sets(self._pool))
        for tenant in await across.list_tenants(self._pool):
            link.publish(topics.fleet_sets_topic(tenant), newest)
        for tenant in await across.tenants_with_fleets(self._pool):
            async with tenant_transaction(self._pool, tenant) as connection:
                wanted = await desired.desired_fleet(connection, tenant)
            for manifest in wanted.artifacts:
                topic = topics.fleet_topic(tenant, manifest.artifact)
                link.publish(topic, encode_manifest(manifest))
            for station, config in wanted.configs:
                link.publish(topics.config_topic(tenant, station, "desired"), encode(config))


def store_artifact(folder: Path, tenant: str, manifest: bytes, file: Path, url: str) -> Manifest:
    """Copy a manifest's file under its SHA-256; return the manifest with the URL to fetch it.

    Raises:
        StopService: the manifest is invalid, the file is another than it names, or the folder
            cannot be written.
    """
    try:
        signed = decode_manifest(manifest)
    except ContractError as error:
        raise StopService(
            f"no manifest: {error}; `cardmint-edge fleet manifest` makes one"
        ) from None
    target = artifact_file(folder, tenant, signed.sha256)
    draft = target.with_suffix(f".{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, draft)
        with draft.open("rb+") as copy:
            digest = hashlib.file_digest(copy, "sha256").hexdigest()
            os.fsync(copy.fileno())
        if (digest, draft.stat().st_size) != (signed.sha256, signed.bytes):
            raise StopService(
                f"{file} is not what the manifest names; sign this file, or name that one"
            )
        draft.replace(target)
    except OSError as error:
        raise StopService(
            f"{error.filename}: {error.strerror}; name a file that can be read, and see `artifacts`"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return replace(signed, url=url.rstrip("/") + artifact_path(tenant, signed.sha256))


def artifact_folder(name: str) -> Path:
    """Return the folder of packs and models, as `artifacts` in the settings names it.

    A folder `wares` beside it, the default of version 0.1, is renamed.

    Raises:
        StopService: the folder cannot be renamed.
    """
    folder = Path(name)
    earlier = folder.with_name("wares")
    try:
        if earlier.is_dir() and not folder.exists():
            earlier.rename(folder)
    except OSError as error:
        raise StopService(f"cannot rename {earlier} to {folder}: {error.strerror}") from error
    return folder


def artifact_file(folder: Path, tenant: str, sha256: str) -> Path:
    """Return the file of an artifact. Tenant and SHA-256 must have been checked."""
    return folder / tenant / sha256
