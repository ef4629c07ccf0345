"""What the commands of `cardmint-cloud inventory` do: cards as files, ours and of others."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from cardmint_cloud import file_import, market_files
from cardmint_cloud.adapters.card_files import WRITERS
from cardmint_cloud.adapters.postgres.migrate import check_revision, engine_for
from cardmint_cloud.app import database
from cardmint_cloud.audit import MACHINE
from cardmint_cloud.domain.item_query import ItemQuery
from cardmint_cloud.domain.written_formats import WrittenFormat
from cardmint_cloud.errors import StopService
from cardmint_cloud.item_changes import ChangeOutcome, undo_change
from cardmint_cloud.item_export import format_file, item_file
from cardmint_cloud.item_import import ImportReport, Words
from cardmint_cloud.market_differences import ShownDifference, differences, take_listed
from cardmint_cloud.market_files import MarketFile
from cardmint_cloud.settings import CloudSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenFile:
    """What was written: bytes, and the number of cards that the format cannot say, by reason."""

    size: int
    left_out: Counter[str]


def export_items(
    settings: CloudSettings, file: Path, query: ItemQuery, form: WrittenFormat | None = None
) -> WrittenFile:
    """Write the items that a query finds to a file, in our columns or as another program takes it.

    Raises:
        RetryLater: the database is away.
        StopService: the file cannot be written, or the settings of the database do not work.
    """
    kind = file.suffix.lower().removeprefix(".")
    kinds = ["csv"] if form else sorted(WRITERS)
    if kind not in kinds:
        raise StopService(f"{file}: such a file of cards is .{', .'.join(kinds)}")
    left_out: Counter[str] = Counter()

    async def run() -> WrittenFile:
        engine = engine_for(settings.database, pooled=settings.pooled, connections=1)
        today = datetime.now(UTC).date()
        try:
            await check_revision(engine, as_service=True)
            pieces = (
                format_file(engine, settings.tenant, query, form, today=today, left_out=left_out)
                if form
                else item_file(engine, settings.tenant, query, kind)
            )
            with _writing(file) as out:
                async for piece in pieces:
                    out.write(piece)
                return WrittenFile(size=out.tell(), left_out=left_out)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def check_file(
    settings: CloudSettings, file: Path, words: Words, *, named: str = ""
) -> ImportReport:
    """Return what a file of cards would do.

    Raises:
        RetryLater: the database is away.
        StopService: the file cannot be read, or the settings of the database do not work.
    """

    async def run() -> ImportReport:
        async with database(settings) as pool:
            return await file_import.check_file(pool, settings.tenant, file, words, named=named)

    return asyncio.run(run())


def import_file(
    settings: CloudSettings, file: Path, words: Words, *, named: str = ""
) -> ImportReport:
    """Do what a file of cards says, as one change.

    Raises:
        RetryLater: the database is away. What was imported stays; import the file again.
        StopService: the file cannot be read, or the settings of the database do not work.
    """

    async def run() -> ImportReport:
        async with database(settings) as pool:
            return await file_import.import_file(
                pool,
                settings.tenant,
                file,
                words,
                named=named,
                user=MACHINE,
                now=datetime.now(UTC),
            )

    return asyncio.run(run())


def tell_market(settings: CloudSettings, file: Path, *, preview: bool) -> MarketFile:
    """Write a file for TCGplayer of what changed in stock, and keep what it says.

    Raises:
        RetryLater: the database is away.
        StopService: the file cannot be written, or the settings of the database do not work.
    """

    async def run() -> MarketFile:
        async with database(settings) as pool:
            if preview:
                return await market_files.preview_file(pool, settings.tenant)
            with _writing(file) as out:
                made = await market_files.make_file(pool, settings.tenant, datetime.now(UTC))
                if made.file is not None:
                    _, content = await market_files.file_content(pool, settings.tenant, made.file)
                    out.write(content)
                return made

    return asyncio.run(run())


def write_market_file(settings: CloudSettings, name: UUID, file: Path) -> None:
    """Write a file for a marketplace once more, as it was.

    Raises:
        NotFound: there is none such.
        Conflict: it was taken back.
        RetryLater: the database is away.
        StopService: the file cannot be written, or the settings of the database do not work.
    """

    async def run() -> None:
        async with database(settings) as pool:
            _, content = await market_files.file_content(pool, settings.tenant, name)
            with _writing(file) as out:
                out.write(content)

    asyncio.run(run())


def take_market_file_back(settings: CloudSettings, name: UUID) -> None:
    """Count a file for a marketplace as never uploaded.

    Raises:
        NotFound: there is none such.
        Conflict: it was taken back already.
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> None:
        async with database(settings) as pool:
            await market_files.take_back(pool, settings.tenant, name, datetime.now(UTC))

    asyncio.run(run())


def market_differences(settings: CloudSettings) -> list[ShownDifference]:
    """Return where TCGplayer lists another number than there is in stock.

    Raises:
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> list[ShownDifference]:
        async with database(settings) as pool:
            return await differences(pool, settings.tenant)

    return asyncio.run(run())


def take_market_numbers(settings: CloudSettings, skus: Sequence[str]) -> ChangeOutcome:
    """Sell what is in stock beyond what TCGplayer lists, of some products, or of all (none named).

    Raises:
        Conflict: nothing is beyond, or there are too many cards.
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> ChangeOutcome:
        async with database(settings) as pool:
            return await take_listed(
                pool, settings.tenant, set(skus) or None, user=MACHINE, now=datetime.now(UTC)
            )

    return asyncio.run(run())


@contextlib.contextmanager
def _writing(file: Path) -> Iterator[BinaryIO]:
    """Give a file to write.

    Raises:
        StopService: it cannot be written.
    """
    try:
        with file.open("wb") as out:
            yield out
    except OSError as error:
        raise StopService(f"{file}: cannot be written: {error.strerror or error}") from error


def undo_items(settings: CloudSettings, change: UUID) -> ChangeOutcome:
    """Take a change or an import back.

    Raises:
        NotFound: there is none.
        Conflict: every card was changed again since.
        RetryLater: the database is away.
        StopService: the settings of the database do not work.
    """

    async def run() -> ChangeOutcome:
        async with database(settings) as pool:
            return await undo_change(
                pool, settings.tenant, change, user=MACHINE, now=datetime.now(UTC)
            )

    return asyncio.run(run())
