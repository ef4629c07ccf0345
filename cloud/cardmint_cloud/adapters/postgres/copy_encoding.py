"""Rows as the binary format of COPY has them: each column as a length of four bytes and its value.

Postgres takes rows that come so for half of what INSERT costs it, and they cost us a quarter of
what asyncpg's arrays do (docs/decisions/0043). The format is described at
https://www.postgresql.org/docs/current/sql-copy.html.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

NULL = b"\xff\xff\xff\xff"
_HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TRAILER = b"\xff\xff"
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def text(value: str) -> bytes:
    """Return a text as a column."""
    content = value.encode()
    return len(content).to_bytes(4) + content


def uuid(value: UUID | None) -> bytes:
    """Return a UUID, or NULL, as a column."""
    return NULL if value is None else b"\x00\x00\x00\x10" + value.int.to_bytes(16)


def moment(value: datetime) -> bytes:
    """Return a moment as a column: microseconds since 2000."""
    return b"\x00\x00\x00\x08" + ((value - EPOCH) // MICROSECOND).to_bytes(8, signed=True)


def start(columns: int) -> bytes:
    """Return how a row of so many columns begins."""
    return columns.to_bytes(2)


class CopyTarget(Protocol):
    """What is used of an asyncpg connection."""

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: memoryview,
        columns: list[str],
        format: str,  # noqa: A002 - asyncpg's name
    ) -> str:
        """Run COPY FROM STDIN."""
        ...


async def copy(
    connection: CopyTarget, table: str, columns: Iterable[str], pieces: Iterable[Any]
) -> None:
    """Append rows to a table; `pieces`, joined, are the rows."""
    content = b"".join((_HEADER, *pieces, _TRAILER))
    await connection.copy_to_table(
        table, source=memoryview(content), columns=list(columns), format="binary"
    )
