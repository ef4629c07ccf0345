"""The pages of webhooks: all of them, and one with its deliveries."""

from dataclasses import dataclass, field
from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Template

from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.adapters.webhook_http import Attempt
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.entry import who_is
from cardmint_cloud.web.rendering import render_page
from cardmint_cloud.webhooks import KINDS, Webhooks

LAST_NUMBER = 2**62
"""The last number that a form may name."""


@dataclass(frozen=True, kw_only=True)
class WebhookForm:
    """Where a webhook goes, and the kinds that it is limited to: all without any."""

    url: str
    kinds: list[str] | str = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class EventForm:
    """The number of an event of the feed."""

    event: str


@get("/people/webhooks")
async def webhooks_page(shop: NamedDependency[PageContext]) -> Template:
    """Show all webhooks."""
    return await _page(shop)


@post("/people/webhooks", status_code=200)
async def make_webhook(
    data: URLEncodedBody[WebhookForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Make a webhook. Its secret is shown once."""
    kinds = [data.kinds] if isinstance(data.kinds, str) else data.kinds
    try:
        made, secret = await _webhooks(shop).make(
            data.url.strip(),
            [kind for kind in kinds if kind],
            by=who_is(request).account,
            now=shop.clock(),
        )
    except Conflict as problem:
        return await _page(shop, problem=str(problem), url=data.url)
    return await _one(shop, made, secret=secret)


@get("/people/webhooks/{webhook:uuid}")
async def webhook_page(webhook: FromPath[UUID], shop: NamedDependency[PageContext]) -> Template:
    """Show a webhook and its last deliveries."""
    return await _one(shop, webhook)


@post("/people/webhooks/{webhook:uuid}/secret", status_code=200)
async def rotate_secret(
    webhook: FromPath[UUID], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Make a new secret, which is shown once; the one before is good for a day more."""
    by = who_is(request).account
    secret = await _webhooks(shop).rotate(webhook, by=by, now=shop.clock())
    return await _one(shop, webhook, secret=secret)


@post("/people/webhooks/{webhook:uuid}/remove", status_code=200)
async def remove_webhook(
    webhook: FromPath[UUID], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Remove a webhook."""
    await _webhooks(shop).remove(webhook, by=who_is(request).account, now=shop.clock())
    return await _page(shop, notice="Removed: nothing is sent there any more.")


@post("/people/webhooks/{webhook:uuid}/test", status_code=200)
async def test_webhook(webhook: FromPath[UUID], shop: NamedDependency[PageContext]) -> Template:
    """Send a test at once."""
    sent = await _webhooks(shop).test(webhook, shop.clock())
    return await _one(shop, webhook, **_told("The test", sent))


@post("/people/webhooks/{webhook:uuid}/resend", status_code=200)
async def resend_event(
    webhook: FromPath[UUID],
    data: URLEncodedBody[EventForm],
    shop: NamedDependency[PageContext],
) -> Template:
    """Send one event again, at once."""
    try:
        number = _event_number(data.event)
        sent = await _webhooks(shop).resend(webhook, number, shop.clock())
    except (Conflict, NotFound) as problem:
        return await _one(shop, webhook, problem=str(problem))
    return await _one(shop, webhook, **_told(f"Event {number}", sent))


@post("/people/webhooks/{webhook:uuid}/replay", status_code=200)
async def replay_events(
    webhook: FromPath[UUID],
    data: URLEncodedBody[EventForm],
    shop: NamedDependency[PageContext],
) -> Template:
    """Send everything again from an event on; what was off goes on."""
    try:
        first = _event_number(data.event)
        await _webhooks(shop).replay(webhook, first, shop.clock())
    except Conflict as problem:
        return await _one(shop, webhook, problem=str(problem))
    return await _one(shop, webhook, notice=f"It goes on with event {first}.")


def _event_number(text: str) -> int:
    """Return the number of an event that somebody typed.

    Raises:
        Conflict: it is none.
    """
    text = text.strip()
    if not (text.isascii() and text.isdigit() and 0 < int(text[:20]) <= LAST_NUMBER):
        raise Conflict("Events have whole numbers from 1 on; type one, such as 17.")
    return int(text)


def _told(what: str, sent: Attempt) -> dict[str, str]:
    if 200 <= sent.status < 300:
        return {"notice": f"{what} was delivered in {sent.milliseconds} ms."}
    why = f"the answer was {sent.status}" if sent.status else sent.answer
    return {"problem": f"{what} was not delivered: {why}."}


def _webhooks(shop: PageContext) -> Webhooks:
    if shop.webhooks is None:
        raise NotFoundException("This dashboard has no accounts.")
    return shop.webhooks


async def _page(
    shop: PageContext, *, notice: str = "", problem: str = "", url: str = ""
) -> Template:
    found = await _webhooks(shop).list_all()
    _, newest = await _webhooks(shop).kept()
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "webhooks.html",
            webhooks=found,
            newest=newest,
            kinds=KINDS,
            notice=notice,
            problem=problem,
            url=url,
        )


async def _one(
    shop: PageContext, webhook: UUID, *, notice: str = "", problem: str = "", secret: str = ""
) -> Template:
    found = await _webhooks(shop).find(webhook)
    oldest, newest = await _webhooks(shop).kept()
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "webhook.html",
            webhook=found,
            deliveries=await _webhooks(shop).deliveries(webhook),
            oldest=oldest,
            newest=newest,
            notice=notice,
            problem=problem,
            secret=secret,
        )


HANDLERS = (
    webhooks_page,
    make_webhook,
    webhook_page,
    rotate_secret,
    remove_webhook,
    test_webhook,
    resend_event,
    replay_events,
)
