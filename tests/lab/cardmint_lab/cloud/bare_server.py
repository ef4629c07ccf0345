"""The least that could answer the read API, step by step: what `cloud reads` compares with.

    python -m cardmint_lab.cloud.bare_server --port 8080 --http httptools --loop uvloop --step row

Each step does what the one before it does: a route of Litestar that answers JSON, then the token's
digest looked up in memory, then one row of the tenant's by the service's user.
"""

from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
import click
import uvicorn
from litestar import Litestar, Request, Response, get

from cardmint_cloud.adapters.postgres.connection import Pool, set_tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STEPS = ("route", "token", "row")
_ROW = "SELECT * FROM stations WHERE tenant = $1 LIMIT 1"


def bare_app(step: str, token: str, database: str) -> Litestar:
    """Return an application that answers any path under `/api/v1/bench` as far as `step`."""
    known = {sha256(token.encode()).digest(): "bench"}
    state: dict[str, Pool] = {}

    @asynccontextmanager
    async def pooled(_app: Litestar) -> "AsyncIterator[None]":
        if step == "row":
            # As the service's pool: a connection that comes back needs no cleaning.
            state["pool"] = await asyncpg.create_pool(database, min_size=7, max_size=7, reset=_keep)
        yield
        if step == "row":
            state["pool"].terminate()

    @get("/api/v1/bench/{rest:path}")
    async def answer(request: Request[Any, Any, Any]) -> Response[Any]:
        if step != "route":
            _, _, sent = request.headers.get("authorization", "").partition(" ")
            if sha256(sent.encode()).digest() not in known:
                return Response({"reason": "unknown"}, status_code=401)
        if step == "row":
            async with state["pool"].acquire() as connection, connection.transaction():
                await set_tenant(connection, "bench")
                row = await connection.fetchrow(_ROW, "bench")
            return Response({"stations": [dict(row)] if row else []})
        return Response({"stations": [{"station": "left", "online": True, "sequence": 7}]})

    return Litestar([answer], lifespan=[pooled], openapi_config=None, logging_config=None)


async def _keep(_connection: Any) -> None:
    """Leave a connection as it is."""


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--http", type=click.Choice(["h11", "httptools"]), default="h11")
@click.option("--loop", type=click.Choice(["asyncio", "uvloop"]), default="asyncio")
@click.option("--step", type=click.Choice(STEPS), default="route")
@click.option("--token", default="")
@click.option("--database", default="")
def main(
    *,
    port: int,
    http: Literal["h11", "httptools"],
    loop: Literal["asyncio", "uvloop"],
    step: str,
    token: str,
    database: str,
) -> None:
    """Serve until told to end."""
    app = bare_app(step, token, database)
    uvicorn.run(
        app, port=port, http=http, loop=loop, ws="none", log_level="error", access_log=False
    )


if __name__ == "__main__":
    main()
