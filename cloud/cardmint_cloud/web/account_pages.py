"""Pages of people: signing in and out, joining by a link, one's own account, and everybody's."""

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template

from cardmint_cloud.accounts import Accounts, SignedIn, TooSoon
from cardmint_cloud.adapters.postgres import accounts as rows
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.permissions import Role
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.rendering import render_page
from cardmint_cloud.web.sign_in import local_path, session_cookie, who_asks

_FORM_BYTES = 16 << 10
_WRONG = "Name or password is wrong."


@dataclass(frozen=True, kw_only=True)
class SignInForm:
    """Name, password, and the address to go to."""

    name: str
    password: str
    next: str = "/"


@dataclass(frozen=True, kw_only=True)
class JoinForm:
    """Name and password of a new account."""

    name: str
    password: str


@dataclass(frozen=True, kw_only=True)
class PasswordForm:
    """The present password and a new one."""

    present: str
    new: str


@dataclass(frozen=True, kw_only=True)
class SessionForm:
    """The session to end, by its digest in hexadecimal; empty for all others."""

    session: str = ""


@dataclass(frozen=True, kw_only=True)
class InviteForm:
    """The role of the person who is invited."""

    role: Role


@dataclass(frozen=True, kw_only=True)
class PersonForm:
    """What to change of an account."""

    role: Role
    disabled: bool = False


@dataclass(frozen=True, kw_only=True)
class TokenForm:
    """The name of the token to remove."""

    name: str


@get("/login")
async def login_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the page to sign in; `next` of the address is where to go then."""
    _accounts(shop)
    wanted = local_path(request.query_params.get("next", "/"))
    return _plain(shop, "login.html", wanted=wanted, problem="")


@post("/login", status_code=200, request_max_body_size=_FORM_BYTES)
async def sign_in(
    data: URLEncodedBody[SignInForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any] | Template:
    """Begin a session. A wrong name and a wrong password are answered alike."""
    try:
        secret = await _accounts(shop).sign_in(
            data.name,
            data.password,
            address=_address(request),
            agent=request.headers.get("user-agent", ""),
            now=shop.clock(),
            clock=time.monotonic(),
        )
    except TooSoon as soon:
        page = _plain(
            shop,
            "login.html",
            wanted=local_path(data.next),
            problem=f"Too many wrong tries; {soon}.",
        )
        page.status_code = 429
        page.headers["retry-after"] = str(max(1, round(soon.seconds)))
        return page
    if secret is None:
        page = _plain(shop, "login.html", wanted=local_path(data.next), problem=_WRONG)
        page.status_code = 403
        return page
    return _signed_in(shop, secret, local_path(data.next))


@post("/logout", status_code=200)
async def sign_out(request: PageRequest, shop: NamedDependency[PageContext]) -> Response[Any]:
    """End the session."""
    await _accounts(shop).sign_out(_who(request))
    return _signed_in(shop, "", "/login")


@get("/join/{secret:str}")
async def join_page(secret: FromPath[str], shop: NamedDependency[PageContext]) -> Template:
    """Show the page to make an account by a link."""
    role = await _accounts(shop).invited_as(secret, shop.clock())
    if role is None:
        raise NotFoundException("This link was used or is too old; ask for a new one.")
    return _plain(shop, "join.html", role=role, secret=secret, problem="")


@post("/join/{secret:str}", status_code=200, request_max_body_size=_FORM_BYTES)
async def join(
    secret: FromPath[str],
    data: URLEncodedBody[JoinForm],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[Any] | Template:
    """Make an account by a link, and sign in."""
    accounts = _accounts(shop)
    try:
        session = await accounts.join(
            secret,
            data.name,
            data.password,
            address=_address(request),
            agent=request.headers.get("user-agent", ""),
            now=shop.clock(),
        )
    except NotFound as gone:
        raise NotFoundException(str(gone)) from None
    except Conflict as problem:
        role = await accounts.invited_as(secret, shop.clock())
        page = _plain(shop, "join.html", role=role, secret=secret, problem=str(problem))
        page.status_code = 409
        return page
    return _signed_in(shop, session, "/")


@get("/account")
async def account_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show one's own account and its sessions."""
    return await _account(request, shop)


@post("/account/password", status_code=200)
async def change_password(
    data: URLEncodedBody[PasswordForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Change one's password; other sessions end."""
    try:
        await _accounts(shop).change_password(
            _who(request), data.present, data.new, clock=time.monotonic()
        )
    except TooSoon as soon:
        return await _account(request, shop, problem=f"Too many wrong tries; {soon}.")
    except Conflict as problem:
        return await _account(request, shop, problem=str(problem))
    return await _account(request, shop, notice="The password is changed; other sessions ended.")


@post("/account/sessions", status_code=200)
async def end_session(
    data: URLEncodedBody[SessionForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """End another session of one's own, or all others."""
    who = _who(request)
    if not data.session:
        await rows.end_sessions(shop.database, shop.tenant, who.account, who.session)
    else:
        try:
            await _accounts(shop).sign_out(who, bytes.fromhex(data.session))
        except ValueError:
            raise NotFoundException("There is no such session.") from None
    return await _account(request, shop, notice="Ended.")


@get("/people")
async def people_page(shop: NamedDependency[PageContext]) -> Template:
    """Show all accounts and tokens."""
    return await _people(shop)


@post("/people/invite", status_code=200)
async def invite(
    data: URLEncodedBody[InviteForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Make a one-time link for a new account. It is shown once."""
    secret = await _accounts(shop).invite(data.role, shop.clock())
    scheme = "https" if shop.secure else request.base_url.scheme
    link = f"{scheme}://{request.base_url.netloc}/join/{secret}"
    return await _people(shop, link=link, role=data.role)


@post("/people/tokens", status_code=200)
async def remove_token(
    data: URLEncodedBody[TokenForm], shop: NamedDependency[PageContext]
) -> Template:
    """Remove a token: what has it is refused from now on."""
    if not await rows.remove_token(shop.database, shop.tenant, data.name):
        raise NotFoundException("There is no such token.")
    return await _people(shop, notice=f"{data.name} has no token any more.")


@post("/people/{account:uuid}", status_code=200)
async def change_person(
    account: FromPath[UUID],
    data: URLEncodedBody[PersonForm],
    shop: NamedDependency[PageContext],
) -> Template:
    """Change an account's role, disable it, or let it in again."""
    try:
        await _accounts(shop).change(account, data.role, disabled=data.disabled)
    except NotFound as gone:
        raise NotFoundException(str(gone)) from None
    except Conflict as problem:
        return await _people(shop, problem=str(problem))
    return await _people(shop, notice="Changed; that person signs in again.")


async def _account(
    request: PageRequest, shop: PageContext, *, notice: str = "", problem: str = ""
) -> Template:
    who = _who(request)
    sessions = await rows.list_sessions(shop.database, shop.tenant, who.account)
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "account.html",
            sessions=[{**row, "own": row["digest"] == who.session} for row in sessions],
            notice=notice,
            problem=problem,
        )


async def _people(
    shop: PageContext,
    *,
    notice: str = "",
    problem: str = "",
    link: str = "",
    role: Role | None = None,
) -> Template:
    _accounts(shop)
    people = await rows.list_accounts(shop.database, shop.tenant)
    tokens = await rows.list_tokens(shop.database, shop.tenant)
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "people.html",
            people=people,
            tokens=tokens,
            roles=list(Role),
            notice=notice,
            problem=problem,
            link=link,
            invited=role,
        )


def _accounts(shop: PageContext) -> Accounts:
    if shop.accounts is None:
        raise NotFoundException("This dashboard has no accounts.")
    return shop.accounts


def _who(request: PageRequest) -> SignedIn:
    who = who_asks(request.scope)
    if who is None:
        raise NotFoundException("This dashboard has no accounts.")
    return who


def _address(request: PageRequest) -> str:
    return request.client.host if request.client else ""


def _plain(shop: PageContext, template: str, **context: Any) -> Template:
    """Return a page for somebody who is not signed in."""
    return Template(template, context={"tenant": shop.tenant, **context})


def _signed_in(shop: PageContext, secret: str, where: str) -> Response[Any]:
    answer: Response[Any] = Redirect(where, status_code=303)
    answer.cookies.append(session_cookie(secret, secure=shop.secure))
    return answer


HANDLERS = (
    *(login_page, sign_in, sign_out, join_page, join),
    *(account_page, change_password, end_session),
    *(people_page, invite, remove_token, change_person),
)
