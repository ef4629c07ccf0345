"""The page that imports a file of cards: what it would do, then doing it, then taking it back."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from litestar import get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.params import MultipartBody
from litestar.response import Template

from cardmint_cloud.adapters.postgres.queries import catalogue
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_rows import COLUMNS, WORDS, read_word
from cardmint_cloud.domain.market_formats import BY_NAME
from cardmint_cloud.errors import Conflict, StopService
from cardmint_cloud.file_import import check_file
from cardmint_cloud.file_import import import_file as import_file_of
from cardmint_cloud.item_import import ImportReport
from cardmint_cloud.web.context import PageContext, PageRequest, user_of
from cardmint_cloud.web.rendering import htmx_target, render_page

MAX_FILE = 32 << 20
"""Bytes of a file; larger ones are imported by `cardmint-cloud inventory import`."""

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ImportForm:
    """A file, what is done with it, and values for its words, such as `condition:vg=lp`."""

    file: UploadFile | None = None
    act: str = "preview"
    words: list[str] | str = field(default_factory=list)
    form: str = ""


@get("/items/import")
async def import_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the form."""
    return await _page(request, shop)


@post("/items/import", status_code=200, request_max_body_size=MAX_FILE)
async def import_file(
    data: MultipartBody[ImportForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Say what a file would do, or do it."""
    chosen = [data.words] if isinstance(data.words, str) else data.words
    try:
        words = dict(read_word(one) for one in chosen if one)
    except ValueError as fault:
        return await _page(request, shop, problem=str(fault), status=422)
    if data.file is None or not data.file.filename:
        return await _page(request, shop, problem="Choose a file.", status=422)
    done = data.act == "import"
    async with shop.importing, _kept(data.file) as kept:
        try:
            report = await (
                import_file_of(
                    shop.pool,
                    shop.tenant,
                    kept,
                    words,
                    named=data.form,
                    called=data.file.filename,
                    user=user_of(request),
                    now=shop.clock(),
                )
                if done
                else check_file(
                    shop.pool, shop.tenant, kept, words, named=data.form, called=data.file.filename
                )
            )
        except (StopService, Conflict) as fault:
            said = str(fault).replace(str(kept), PurePath(data.file.filename).name)
            return await _page(request, shop, form=data.form, problem=said, status=422)
    return await _page(request, shop, report=report, done=done, words=chosen, form=data.form)


@asynccontextmanager
async def _kept(file: UploadFile) -> AsyncIterator[Path]:
    """Give an uploaded file on the disk, under a name with its ending, until the context ends."""
    suffix = PurePath(file.filename).suffix[:10]
    ending = suffix if suffix.isascii() and suffix[1:].isalnum() else ""
    with tempfile.NamedTemporaryFile(suffix=ending) as kept:
        while piece := await file.read(_CHUNK):
            kept.write(piece)
        kept.flush()
        yield Path(kept.name)


async def _page(
    request: PageRequest,
    shop: PageContext,
    *,
    report: ImportReport | None = None,
    done: bool = False,
    words: list[str] | None = None,
    form: str = "",
    problem: str = "",
    status: int = 200,
) -> Template:
    part = htmx_target(request) == "report"
    async with reading(shop.engine, shop.tenant) as connection:
        page = await render_page(
            connection,
            shop,
            "_import_report.html" if part else "item_import.html",
            report=report,
            done=done,
            words=[one for one in words or [] if one],
            values={name: sorted(set(known.values())) for name, known in WORDS.items()},
            sets=await catalogue.set_names(connection) if report and report.words else {},
            formats=BY_NAME.values(),
            form=form,
            columns=COLUMNS,
            problem=problem,
            megabytes=MAX_FILE >> 20,
        )
    page.status_code = 200 if part else status  # htmx shows no other answer.
    return page


HANDLERS = (import_page, import_file)
