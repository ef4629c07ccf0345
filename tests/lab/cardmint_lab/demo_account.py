"""The demo's account: who opens the demo's address is signed in by itself, on this machine only."""

import asyncio
import secrets
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import asyncpg

from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.sealing import load_master_keys
from cardmint_cloud.domain.permissions import Role, Scope
from cardmint_cloud.errors import NotFound
from cardmint_cloud.web.sign_in import session_cookie

NAME, ROLE = "demo", Role.REVIEWER
"""A reviewer needs no second factor, and may do all that the demo shows."""

MANY = 1_000_000


class DemoAccount:
    """The account at the demo's dashboard, and an address that signs a browser in with it.

    Cookies are a host's, whatever the port: so a page beside the dashboard can set its session.
    """

    def __init__(self, database: str, tenant: str, master_keys: Path) -> None:
        self._database, self._tenant, self._keys = database, tenant, master_keys
        self._password = secrets.token_urlsafe(16)
        self._server: ThreadingHTTPServer | None = None

    def make(self) -> str:
        """Make the account, or give it a new password; return a token for programs that read."""
        return asyncio.run(self._made())

    def station_token(self) -> str:
        """Return a token for the demo's stations."""
        return asyncio.run(self._token("stations", Scope.STATION))

    def open(self, dashboard: str) -> str:
        """Serve the address that leads to the dashboard, signed in; return it."""
        account = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                secret = asyncio.run(account.sign_in(self.headers.get("user-agent", "")))
                self.send_response(303)
                self.send_header("location", dashboard)
                cookie = session_cookie(secret, secure=False).to_header(header="")
                self.send_header("set-cookie", cookie)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        """Stop serving the address."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    async def sign_in(self, agent: str) -> str:
        """Return the secret of a new session."""
        now = datetime.now(UTC)
        async with asyncpg.create_pool(self._database, min_size=1, max_size=1) as pool:
            secret = await self._accounts(pool).sign_in(
                NAME, self._password, address="127.0.0.1", agent=agent, now=now, clock=0.0
            )
        return secret or ""

    async def _made(self) -> str:
        now = datetime.now(UTC)
        async with asyncpg.create_pool(self._database, min_size=1, max_size=1) as pool:
            accounts = self._accounts(pool)
            try:
                account = await accounts.account_named(NAME)
            except NotFound:
                link = await accounts.invite(ROLE, now)
                await accounts.join(link, NAME, self._password, address="", agent="demo", now=now)
            else:
                link = await accounts.recovery_link(account, now, drops_factors=True)
                await accounts.recover(link, self._password, now)
        return await self._token("census", Scope.READ)

    async def _token(self, name: str, scope: Scope) -> str:
        async with asyncpg.create_pool(self._database, min_size=1, max_size=1) as pool:
            return await self._accounts(pool).add_token(
                name, scope, datetime.now(UTC), per_minute=MANY
            )

    def _accounts(self, pool: asyncpg.Pool) -> Accounts:
        return Accounts(pool, self._tenant, load_master_keys(str(self._keys), {}))
