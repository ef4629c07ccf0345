"""Dead letters as the dashboard shows them."""

from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cardmint_cloud.adapters.postgres.queries.inventory import rows
from cardmint_cloud.adapters.postgres.tables import (
    dead_letters,
)


async def list_dead_letters(
    connection: AsyncConnection, tenant: str, *, limit: int = 50
) -> list[RowMapping]:
    """Return dead letters, the newest first, with the size and beginning of each payload."""
    columns = [column for column in dead_letters.c if column.name != "payload"]
    preview = (
        func.substring(dead_letters.c.payload, 1, 4096).label("preview"),
        func.length(dead_letters.c.payload).label("bytes"),
    )
    statement = select(*columns, *preview).where(dead_letters.c.tenant == tenant)
    return rows(
        await connection.execute(
            statement.order_by(dead_letters.c.last_at.desc(), dead_letters.c.id).limit(limit)
        )
    )


async def find_dead_letter(
    connection: AsyncConnection, tenant: str, which: int
) -> RowMapping | None:
    """Return one dead letter with its payload; None when it does not exist."""
    statement = select(dead_letters).where(
        dead_letters.c.tenant == tenant, dead_letters.c.id == which
    )
    return (await connection.execute(statement)).mappings().one_or_none()
