"""The dashboard process, wired by hand.

It is apart from `app`, whose processes need none of its libraries and start sooner.
"""

import asyncio
import contextlib
import os
import socket
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import structlog
import uvicorn

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.images.bucket import BucketStorage
from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.oidc import OidcProvider
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.postgres.migrate import engine_for
from cardmint_cloud.adapters.sealing import load_master_keys
from cardmint_cloud.adapters.webhook_http import WebhookHttp
from cardmint_cloud.app import database, listening_pool, log_as_json
from cardmint_cloud.audit import keep_anchored
from cardmint_cloud.domain.quota import Quotas
from cardmint_cloud.errors import StopService
from cardmint_cloud.fleet import artifact_folder
from cardmint_cloud.images import ImageStorage
from cardmint_cloud.local.broker_users import BrokerUsers
from cardmint_cloud.settings import CloudSettings, WebSettings
from cardmint_cloud.watchdog import watchdog
from cardmint_cloud.web.connections import BoundedConnection, bound_connections
from cardmint_cloud.web.guards import LOOPBACK as LOOPBACK_NAMES
from cardmint_cloud.web.routes import build_dashboard
from cardmint_cloud.webhooks import Webhooks, send_webhooks

_log = structlog.get_logger()


def _now() -> datetime:
    return datetime.now(UTC)


def image_store(settings: CloudSettings) -> ImageStorage:
    """Return the image storage: a bucket for `s3://BUCKET/PREFIX`, else a folder."""
    if settings.images.startswith("s3://"):
        bucket, _, prefix = settings.images.removeprefix("s3://").partition("/")
        return BucketStorage(bucket, prefix, settings.s3)
    return FolderStorage(Path(settings.images))


async def accounts_of(settings: CloudSettings, pool: Pool) -> Accounts:
    """Return the tenant's accounts, with the master keys that their personal data needs.

    Raises:
        StopService: a master key is missing or wrong; the message says what to do.
    """
    accounts = Accounts(
        pool,
        settings.tenant,
        load_master_keys(settings.master_keys),
        everybody=settings.web.second_factor == "everybody",
    )
    await accounts.vault.check(pool)
    return accounts


def _metrics_socket(web: WebSettings) -> socket.socket:
    try:
        return socket.create_server((web.host, web.metrics_port))
    except OSError as error:
        raise StopService(f"web.metrics_port: {web.metrics_port}: {error.strerror}") from error


async def serve(settings: CloudSettings) -> None:
    """Serve the dashboard until SIGTERM or SIGINT.

    Raises:
        StopService: the database cannot be used as it is set, or the port is taken.
    """
    log_as_json()
    bound_connections()
    web, users = settings.web, settings.stations.broker_users
    where = f"{web.address(web.host)}/"
    for setting, file in (("tls_cert", web.tls_cert), ("tls_key", web.tls_key)):
        if file and not os.access(file, os.R_OK):
            raise StopService(f"web.{setting}: {file} cannot be read")
    reads = settings.database_connections // 2
    connections = settings.database_connections - reads - settings.pooled
    async with (
        watchdog(),
        database(settings, wait=True, connections=connections) as pool,
        listening_pool(settings, pool) as listening,
        contextlib.AsyncExitStack() as stack,
    ):
        accounts = await accounts_of(settings, pool) if web.accounts else None
        networks = map(ip_network, settings.webhook_networks)
        webhooks = Webhooks(accounts, WebhookHttp(networks)) if accounts else None
        engine = engine_for(settings.database, pooled=settings.pooled, connections=reads)
        app = build_dashboard(
            engine=engine,
            pool=pool,
            images=image_store(settings),
            tenant=settings.tenant,
            artifacts=artifact_folder(settings.artifacts),
            hosts=LOOPBACK_NAMES | set(web.hosts),
            accounts=accounts,
            secure=web.secure,
            quotas=Quotas(),
            base_path=web.base_path,
            proxies=web.proxies,
            client_header=web.client_header,
            broker_users=BrokerUsers(Path(users)) if users else None,
            broker_port=settings.stations.broker_port,
            provider=OidcProvider(settings.oidc) if settings.oidc.issuer else None,
            listening=listening,
            metrics_port=web.metrics_port,
            webhooks=webhooks,
        )
        config = uvicorn.Config(
            app,
            host=web.host,
            port=web.port,
            proxy_headers=False,
            ssl_certfile=web.tls_cert or None,
            ssl_keyfile=web.tls_key or None,
            log_config=None,
            access_log=False,
            http=BoundedConnection,
            ws="none",
            timeout_graceful_shutdown=1,  # Live pages never end by themselves.
        )
        if accounts is not None and settings.audit_anchors:
            anchoring = asyncio.create_task(
                keep_anchored(accounts.audit, accounts.database, Path(settings.audit_anchors), _now)
            )
            stack.callback(anchoring.cancel)
        if webhooks is not None:
            sending = asyncio.create_task(send_webhooks(webhooks, _now))
            stack.callback(sending.cancel)
        _log.info("dashboard", at=where, accounts=web.accounts)
        try:
            sockets = [config.bind_socket()]
            if web.metrics_port:
                sockets.append(stack.enter_context(_metrics_socket(web)))
            await uvicorn.Server(config).serve(sockets)
        except SystemExit:
            raise StopService(
                f"the dashboard cannot listen at {where}; is the port taken? see `web.port`"
            ) from None
        finally:
            await engine.dispose()
