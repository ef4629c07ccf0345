"""Accounts in tests: a master key of theirs, and admins with a second factor."""

from datetime import datetime, timedelta
from ipaddress import ip_network

import pyotp

from cardmint_cloud.accounts import Accounts, SignedIn
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.adapters.sealing import MasterKeys
from cardmint_cloud.adapters.webhook_http import WebhookHttp
from cardmint_cloud.domain.one_time_codes import STEP_S
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.second_factors import SecondFactors
from cardmint_cloud.webhooks import Webhooks

MASTERS = MasterKeys([bytes(range(32))])
PASSWORD = "a long sentence about herons"


def accounts_of(pool: Pool, tenant: str = "shop", *, everybody: bool = False) -> Accounts:
    return Accounts(pool, tenant, MASTERS, everybody=everybody)


def webhooks_of(accounts: Accounts) -> Webhooks:
    """Return webhooks that may go to loopback."""
    return Webhooks(accounts, WebhookHttp([ip_network("127.0.0.0/8")]))


async def enrol(accounts: Accounts, session: str, now: datetime) -> tuple[str, ...]:
    """Set up an app for whoever has the session; return the recovery codes."""
    who = await accounts.signed_in(session, now)
    assert who is not None
    factors = SecondFactors(accounts)
    setup = await factors.begin_totp(who, now)
    code = code_at(setup.secret, now - timedelta(seconds=STEP_S))
    return await factors.confirm_totp(who, code, now=now, clock=0.0)


def code_at(secret: str, now: datetime) -> str:
    """Return an app's code at a moment."""
    return pyotp.TOTP(secret).at(int(now.timestamp()))


async def join(
    accounts: Accounts,
    name: str,
    role: Role,
    now: datetime,
    *,
    address: str = "",
    reach: Reach | None = None,
) -> tuple[str, SignedIn]:
    """Make an account that may do what its role may; return its session's secret and who it is."""
    link = await accounts.invite(role, now, reach=reach)
    secret = await accounts.join(link, name, PASSWORD, address=address, agent="", now=now)
    if accounts.needs_factor(role):
        await enrol(accounts, secret, now)
    who = await accounts.signed_in(secret, now)
    assert who is not None
    return secret, who
