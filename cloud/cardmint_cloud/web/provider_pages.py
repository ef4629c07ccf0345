"""Pages that lead to another provider and back: to sign in, and to connect an account with it."""

from typing import Any
from urllib.parse import quote, unquote

from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.response import Redirect, Template

from cardmint_cloud.adapters.oidc import ProviderProblem
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.provider_sign_in import ProviderSignIn
from cardmint_cloud.web.account_pages import own_account
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.entry import address_of, sign_in_page, signed_in, who_is
from cardmint_cloud.web.sign_in import cookie_value, local_path

TO_SIGN_IN = "/login/provider/back"
TO_CONNECT = "/account/provider/back"
COOKIE = "provider"
SECURE_COOKIE = "__Host-provider"
_LIFE_S = 600


@get("/login/provider")
async def begin(
    request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any] | Template:
    """Lead to the provider to sign in; `next` of the address is where to go then."""
    wanted = local_path(request.query_params.get("next", "/"))
    try:
        return await _lead(request, shop, TO_SIGN_IN, wanted)
    except ProviderProblem as problem:
        return sign_in_page(request, shop, wanted, problem=str(problem), status=502)


@get(TO_SIGN_IN)
async def come_back(
    request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any] | Template:
    """Sign in whoever comes back from the provider."""
    secret, wanted = _kept(request, shop)
    try:
        session = await _provider(shop).sign_in(
            secret,
            shop.link(request, TO_SIGN_IN),
            _answer(request),
            address=address_of(request),
            agent=request.headers.get("user-agent", ""),
            now=shop.clock(),
        )
    except (ProviderProblem, NotFound) as problem:
        page = sign_in_page(request, shop, wanted, problem=str(problem), status=403)
        page.cookies.append(_cookie(shop, ""))
        return page
    answer = await signed_in(shop, session, wanted)
    answer.cookies.append(_cookie(shop, ""))
    return answer


@get("/account/provider/connect")
async def begin_to_connect(
    request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any] | Template:
    """Lead to the provider to connect one's account with it."""
    try:
        return await _lead(request, shop, TO_CONNECT, "/account")
    except ProviderProblem as problem:
        return await own_account(request, shop, problem=str(problem))


@get(TO_CONNECT)
async def connect(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Connect one's account with whoever comes back from the provider."""
    secret, _ = _kept(request, shop)
    provider = _provider(shop)
    uri = shop.link(request, TO_CONNECT)
    try:
        await provider.connect(who_is(request), secret, uri, _answer(request), now=shop.clock())
    except (ProviderProblem, Conflict) as problem:
        page = await own_account(request, shop, problem=str(problem))
    else:
        page = await own_account(
            request, shop, notice=f"You can sign in with {provider.name} from now on."
        )
    page.cookies.append(_cookie(shop, ""))
    return page


@post("/account/provider/disconnect", status_code=200)
async def disconnect(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Take the provider from one's account."""
    await _provider(shop).disconnect(who_is(request), shop.clock())
    return await own_account(request, shop, notice="Not connected any more.")


def _provider(shop: PageContext) -> ProviderSignIn:
    if shop.provider is None:
        raise NotFoundException("This dashboard has no other provider to sign in.")
    return shop.provider


async def _lead(request: PageRequest, shop: PageContext, back: str, wanted: str) -> Response[Any]:
    secret, where = await _provider(shop).begin(shop.link(request, back))
    answer: Response[Any] = Redirect(where, status_code=303)
    answer.cookies.append(_cookie(shop, f"{secret}.{quote(wanted, safe='')}"))
    return answer


def _cookie(shop: PageContext, value: str) -> Cookie:
    """Return the cookie that a browser keeps while it is at the provider; empty to remove it."""
    return Cookie(
        key=SECURE_COOKIE if shop.secure else COOKIE,
        value=value,
        max_age=_LIFE_S if value else 0,
        path="/",
        secure=shop.secure,
        httponly=True,
        samesite="lax",
    )


def _kept(request: PageRequest, shop: PageContext) -> tuple[str, str]:
    """Return the secret with which a browser went to the provider, and where it wanted to go."""
    name = SECURE_COOKIE if shop.secure else COOKIE
    secret, _, wanted = cookie_value(request.headers.get("cookie", ""), name).partition(".")
    return secret, local_path(unquote(wanted))


def _answer(request: PageRequest) -> dict[str, str]:
    return {name: str(value) for name, value in request.query_params.items()}


HANDLERS = [begin, come_back, begin_to_connect, connect, disconnect]
