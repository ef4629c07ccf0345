"""A file of cards, ours or of others, checked or imported, by what its format says."""

import hashlib
import re
from datetime import datetime
from pathlib import Path

from cardmint_cloud.adapters.card_files import format_of, read_rows
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.file_formats import FormatKind, FormatReader
from cardmint_cloud.item_import import ImportReport, Words, check_rows, import_rows
from cardmint_cloud.market_import import read_sales, read_stock

_SHIPMENT = re.compile(r"ArticlesFromShipment([0-9]+)")


async def check_file(
    pool: Pool, tenant: str, path: Path, words: Words, *, named: str = "", called: str = ""
) -> ImportReport:
    """Return what a file would do, of the format that is `named` or that its headings name.

    `called` is the file's own name, where it lies under another.

    Raises:
        StopService: the file cannot be read.
    """
    return await _read(pool, tenant, path, words, named=named, called=called, user="", now=None)


async def import_file(
    pool: Pool,
    tenant: str,
    path: Path,
    words: Words,
    *,
    named: str = "",
    called: str = "",
    user: str,
    now: datetime,
) -> ImportReport:
    """Do what a file says; rows that cannot be used are left out.

    Raises:
        StopService: the file cannot be read.
        Conflict: the log did not take an event; the blocks before stay.
    """
    return await _read(pool, tenant, path, words, named=named, called=called, user=user, now=now)


async def _read(
    pool: Pool,
    tenant: str,
    path: Path,
    words: Words,
    *,
    named: str,
    called: str,
    user: str,
    now: datetime | None,
) -> ImportReport:
    form = format_of(path, named)
    rows = read_rows(path, form)
    if form and form.kind is FormatKind.STOCK:
        return await read_stock(pool, tenant, form, rows, words, now=now)
    if form and form.kind is FormatKind.SALES:
        return await read_sales(pool, tenant, form, rows, words, user=user, now=now)
    reader = FormatReader(form, _scope(path, called) if form.apart else "") if form else None
    if now is None:
        return await check_rows(pool, tenant, rows, words, reader)
    return await import_rows(pool, tenant, rows, words, reader, user=user, now=now)


def _scope(path: Path, called: str) -> str:
    """Return the number of the shipment that a file's name has; else a digest of its content."""
    if found := _SHIPMENT.search(called or path.name):
        return found[1]
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
