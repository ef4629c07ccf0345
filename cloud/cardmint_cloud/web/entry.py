"""What the pages share that somebody sees before, or while, proving who it is."""

from typing import Any

from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.response import Redirect, Template

from cardmint_cloud.accounts import Accounts, SignedIn, TooSoon
from cardmint_cloud.adapters.passkeys import can_have_passkeys
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.sign_in import (
    HOST_PREFIX,
    browser_cookie,
    cookie_values,
    session_cookie,
    who_asks,
)


def accounts_of(shop: PageContext) -> Accounts:
    """Return the dashboard's accounts.

    Raises:
        NotFoundException: it has none.
    """
    if shop.accounts is None:
        raise NotFoundException("This dashboard has no accounts.")
    return shop.accounts


def who_is(request: PageRequest) -> SignedIn:
    """Return who asks.

    Raises:
        NotFoundException: the dashboard has no accounts.
    """
    who = who_asks(request.scope)
    if who is None:
        raise NotFoundException("This dashboard has no accounts.")
    return who


def address_of(request: PageRequest) -> str:
    """Return the address of the browser."""
    return request.client.host if request.client else ""


def entry_page(shop: PageContext, template: str, *, status: int = 200, **context: Any) -> Template:
    """Return a page for somebody who is not, or not wholly, signed in."""
    provider = shop.provider.name if shop.provider else ""
    page = Template(template, context={"tenant": shop.tenant, "provider": provider, **context})
    page.status_code = status
    return page


def sign_in_page(
    request: PageRequest, shop: PageContext, wanted: str, *, problem: str = "", status: int = 200
) -> Template:
    """Return the page to sign in, which then goes on to `wanted`."""
    return entry_page(
        shop,
        "login.html",
        wanted=wanted,
        problem=problem,
        passkeys=can_have_passkeys(shop.origin(request)),
        status=status,
    )


def too_soon(page: Template, soon: TooSoon) -> Template:
    """Return a page as the answer to too many wrong tries."""
    page.status_code = 429
    page.headers["retry-after"] = str(max(1, round(soon.seconds)))
    return page


async def signed_in(shop: PageContext, secret: str, where: str) -> Response[Any]:
    """Return the answer that goes on to `where` with a session, whose browser is known from now."""
    answer = signed_out(shop, where)
    answer.cookies = [session_cookie(secret, secure=shop.secure)]
    accounts, now = accounts_of(shop), shop.clock()
    who = await accounts.signed_in(secret, now, use=False)
    if who is not None:
        name, value = accounts.browsers.cookie(who.account, now)
        answer.cookies.append(browser_cookie(name, value, secure=shop.secure))
    return answer


def signed_out(shop: PageContext, where: str) -> Response[Any]:
    """Return the answer that goes on to `where` without a session."""
    answer: Response[Any] = Redirect(where, status_code=303)
    answer.cookies.append(session_cookie("", secure=shop.secure))
    return answer


def browser_cookies(request: PageRequest, shop: PageContext) -> dict[str, str]:
    """Return the cookies of a request, by the names of `KnownBrowsers`."""
    found = cookie_values(request.headers.get("cookie", ""))
    prefix = HOST_PREFIX if shop.secure else ""
    return {
        name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)
    }
