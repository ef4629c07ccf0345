"""Forms of readers, the programs that follow the feed, on the page of people."""

from dataclasses import dataclass

from litestar import post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Template

from cardmint_cloud.errors import Conflict
from cardmint_cloud.readers import Readers
from cardmint_cloud.web.account_pages import people
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.entry import accounts_of, who_is


@dataclass(frozen=True, kw_only=True)
class ReaderForm:
    """The name of a reader."""

    reader: str


@post("/people/readers", status_code=200)
async def make_reader(
    data: URLEncodedBody[ReaderForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Make a login at the broker for a program that follows the feed. It is shown once."""
    readers, name = _readers(shop), data.reader.strip()
    try:
        user, password = await readers.make(name, by=who_is(request).account, now=shop.clock())
    except Conflict as problem:
        return await people(shop, problem=str(problem))
    told = f"User and password at the broker, for {name}, which follows the feed"
    return await people(shop, link=f"{user} {password}", told=told)


@post("/people/readers/remove", status_code=200)
async def remove_reader(
    data: URLEncodedBody[ReaderForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """End a reader's login: the broker lets it hear nothing from now on."""
    try:
        by = who_is(request).account
        found = await _readers(shop).remove(data.reader, by=by, now=shop.clock())
    except Conflict as problem:
        return await people(shop, problem=str(problem))
    notice = f"{data.reader} has no login any more." if found else "There is no such login."
    return await people(shop, notice=notice)


def _readers(shop: PageContext) -> Readers:
    accounts_of(shop)
    if shop.readers is None:
        raise NotFoundException("This dashboard has no accounts.")
    return shop.readers


HANDLERS = (make_reader, remove_reader)
