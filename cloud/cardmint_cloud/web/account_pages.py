"""Pages of people: signing in and out, joining by a link, one's own account, and everybody's."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Template
from msgspec import Meta

from cardmint_cloud.accounts import LINK_GONE, TooSoon, check_token
from cardmint_cloud.adapters.postgres import accounts as rows
from cardmint_cloud.adapters.postgres import view_links as view_rows
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.permissions import Role, Scope
from cardmint_cloud.domain.reach import parse_reach
from cardmint_cloud.errors import Conflict
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.entry import (
    accounts_of,
    address_of,
    browser_cookies,
    entry_page,
    sign_in_page,
    signed_in,
    signed_out,
    too_soon,
    who_is,
)
from cardmint_cloud.web.rendering import render_page
from cardmint_cloud.web.sign_in import local_path

_FORM_BYTES = 16 << 10
LOG_PAGE = 100
LAST_NUMBER = 2**62
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
class LinkForm:
    """A one-time link, by its digest in hexadecimal."""

    digest: str


@dataclass(frozen=True, kw_only=True)
class InviteForm:
    """The role of the person who is invited, and the stations and lots that it is limited to."""

    role: Role
    stations: str = ""
    lots: str = ""


@dataclass(frozen=True, kw_only=True)
class PersonForm:
    """What to change of an account."""

    role: Role
    disabled: bool = False
    stations: str = ""
    lots: str = ""


@dataclass(frozen=True, kw_only=True)
class RecoverPersonForm:
    """Whose password is set anew, and whether the second factors go, too."""

    account: UUID
    factors: bool = False


@dataclass(frozen=True, kw_only=True)
class SignOutForm:
    """Whose sessions end."""

    account: UUID


@dataclass(frozen=True, kw_only=True)
class TokenForm:
    """The name of the token to remove."""

    name: str


@dataclass(frozen=True, kw_only=True)
class StationForm:
    """The name of a station that is to get its credentials."""

    station: str


@dataclass(frozen=True, kw_only=True)
class NewTokenForm:
    """A program's name, what its token is for, and its bounds; 0 for none.

    `origins` are those whose pages may use it in a browser, separated by spaces.
    """

    name: str
    scope: Scope
    days: Annotated[int, Meta(ge=0, le=3660)] = 365
    per_minute: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    origins: str = ""
    stations: str = ""
    lots: str = ""


@get("/login")
async def login_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the page to sign in; `next` of the address is where to go then."""
    accounts_of(shop)
    wanted = local_path(request.query_params.get("next", "/"))
    return sign_in_page(request, shop, wanted)


@post("/login", status_code=200, request_max_body_size=_FORM_BYTES)
async def sign_in(
    data: URLEncodedBody[SignInForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any] | Template:
    """Begin a session. A wrong name and a wrong password are answered alike."""
    try:
        secret = await accounts_of(shop).sign_in(
            data.name,
            data.password,
            address=address_of(request),
            agent=request.headers.get("user-agent", ""),
            now=shop.clock(),
            clock=time.monotonic(),
            browsers=browser_cookies(request, shop),
        )
    except TooSoon as soon:
        told = f"Too many wrong tries; {soon}."
        page = sign_in_page(request, shop, local_path(data.next), problem=told)
        return too_soon(page, soon)
    if secret is None:
        wanted = local_path(data.next)
        return sign_in_page(request, shop, wanted, problem=_WRONG, status=403)
    return await signed_in(shop, secret, local_path(data.next))


@post("/logout", status_code=200)
async def sign_out(request: PageRequest, shop: NamedDependency[PageContext]) -> Response[Any]:
    """End the session."""
    await accounts_of(shop).sign_out(who_is(request), shop.clock())
    return signed_out(shop, "/login")


@get("/join/{secret:str}")
async def join_page(secret: FromPath[str], shop: NamedDependency[PageContext]) -> Template:
    """Show the page to make an account by a link."""
    role = await accounts_of(shop).invited_as(secret, shop.clock())
    if role is None:
        raise NotFoundException(LINK_GONE)
    return entry_page(shop, "join.html", role=role, secret=secret, problem="")


@post("/join/{secret:str}", status_code=200, request_max_body_size=_FORM_BYTES)
async def join(
    secret: FromPath[str],
    data: URLEncodedBody[JoinForm],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[Any] | Template:
    """Make an account by a link, and sign in."""
    accounts = accounts_of(shop)
    try:
        session = await accounts.join(
            secret,
            data.name,
            data.password,
            address=address_of(request),
            agent=request.headers.get("user-agent", ""),
            now=shop.clock(),
        )
    except Conflict as problem:
        role = await accounts.invited_as(secret, shop.clock())
        return entry_page(
            shop, "join.html", role=role, secret=secret, problem=str(problem), status=409
        )
    return await signed_in(shop, session, "/")


@get("/account")
async def account_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show one's own account and its sessions."""
    return await own_account(request, shop)


@post("/account/password", status_code=200)
async def change_password(
    data: URLEncodedBody[PasswordForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Change one's password; other sessions end."""
    try:
        await accounts_of(shop).change_password(
            who_is(request), data.present, data.new, now=shop.clock(), clock=time.monotonic()
        )
    except TooSoon as soon:
        return await own_account(request, shop, problem=f"Too many wrong tries; {soon}.")
    except Conflict as problem:
        return await own_account(request, shop, problem=str(problem))
    return await own_account(request, shop, notice="The password is changed; other sessions ended.")


@post("/account/sessions", status_code=200)
async def end_session(
    data: URLEncodedBody[SessionForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """End another session of one's own, or all others."""
    who = who_is(request)
    if not data.session:
        await accounts_of(shop).end_sessions(
            who.account, shop.clock(), by=who.account, keep=who.session
        )
    else:
        try:
            await accounts_of(shop).sign_out(who, shop.clock(), bytes.fromhex(data.session))
        except ValueError:
            raise NotFoundException("There is no such session.") from None
    return await own_account(request, shop, notice="Ended.")


@get("/people/log")
async def audit_page(
    shop: NamedDependency[PageContext], before: FromQuery[int] = LAST_NUMBER
) -> Template:
    """Show the audit log, the last entry first."""
    before = min(LAST_NUMBER, max(1, before))
    entries = await accounts_of(shop).audit.latest(shop.database, before, LOG_PAGE)
    known = await rows.list_accounts(shop.database, shop.tenant)
    names = {str(row["account"]): row["name"] for row in known}
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection, shop, "people_log.html", entries=entries, names=names, size=LOG_PAGE
        )


@get("/people")
async def people_page(shop: NamedDependency[PageContext]) -> Template:
    """Show all accounts and tokens."""
    return await people(shop)


@post("/people/invite", status_code=200)
async def invite(
    data: URLEncodedBody[InviteForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Make a one-time link for a new account. It is shown once."""
    accounts = accounts_of(shop)
    try:
        reach = parse_reach(data.stations, data.lots)
        secret = await accounts.invite(
            data.role, shop.clock(), by=who_is(request).account, reach=reach
        )
    except Conflict as problem:
        return await people(shop, problem=str(problem))
    told = f"Send this link to one person. It makes one account, as {data.role}, within a day"
    return await people(shop, link=shop.link(request, f"/join/{secret}"), told=told)


@post("/people/links/remove", status_code=200)
async def remove_link(
    data: URLEncodedBody[LinkForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Remove a one-time link that was not used yet."""
    try:
        digest = bytes.fromhex(data.digest)
    except ValueError:
        raise NotFoundException("There is no such link, or it was used.") from None
    await accounts_of(shop).remove_link(digest, shop.clock(), by=who_is(request).account)
    return await people(shop, notice="Removed: nobody uses that link any more.")


@post("/people/recover", status_code=200)
async def recover_person(
    data: URLEncodedBody[RecoverPersonForm],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Template:
    """Make a one-time link by which a person sets the password anew. It is shown once."""
    secret = await accounts_of(shop).recovery_link(
        data.account,
        shop.clock(),
        drops_factors=data.factors,
        by=who_is(request).account,
    )
    gone_too = " and removes the second factors" if data.factors else ""
    told = f"Send this link to that person. It sets the password anew{gone_too}, once, within a day"
    return await people(shop, link=shop.link(request, f"/recover/{secret}"), told=told)


@post("/people/sessions", status_code=200)
async def sign_person_out(
    data: URLEncodedBody[SignOutForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """End all sessions of a person."""
    by = who_is(request).account
    await accounts_of(shop).end_sessions(data.account, shop.clock(), by=by)
    return await people(shop, notice="Signed out everywhere.")


@post("/people/stations", status_code=200)
async def make_station_code(
    data: URLEncodedBody[StationForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Make a code by which a station gets its credentials. It is shown once."""
    accounts_of(shop)
    if shop.station_codes is None:
        raise NotFoundException("This dashboard has no accounts.")
    station = data.station.strip()
    try:
        code = await shop.station_codes.make(station, by=who_is(request).account, now=shop.clock())
    except Conflict as problem:
        return await people(shop, problem=str(problem))
    told = f"For the station {station}, within a quarter of an hour, once"
    command = f"cardmint-edge setup --cloud {shop.link(request, '')} --code {code}"
    return await people(shop, link=command, told=told)


@post("/people/tokens/make", status_code=200, request_max_body_size=_FORM_BYTES)
async def make_token(
    data: URLEncodedBody[NewTokenForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Make a token for a program. It is shown once."""
    now, accounts = shop.clock(), accounts_of(shop)
    try:
        check_token(data.name, origins := frozenset(data.origins.split()))
        token = await accounts.add_token(
            data.name.strip(),
            data.scope,
            now,
            by=who_is(request).account,
            expires_at=now + timedelta(days=data.days) if data.days else None,
            origins=origins,
            per_minute=data.per_minute or None,
            reach=parse_reach(data.stations, data.lots),
        )
    except Conflict as problem:
        return await people(shop, problem=str(problem))
    told = f"The token of {data.name.strip()} for the header `Authorization: Bearer …`"
    return await people(shop, link=token, told=told)


@post("/people/tokens", status_code=200)
async def remove_token(
    data: URLEncodedBody[TokenForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Remove a token: what has it is refused from now on."""
    await accounts_of(shop).remove_token(data.name, shop.clock(), by=who_is(request).account)
    return await people(shop, notice=f"{data.name} has no token any more.")


@post("/people/{account:uuid}", status_code=200)
async def change_person(
    account: FromPath[UUID],
    data: URLEncodedBody[PersonForm],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Template:
    """Change an account's role and reach, disable it, or let it in again."""
    try:
        await accounts_of(shop).change(
            account,
            data.role,
            disabled=data.disabled,
            by=who_is(request).account,
            now=shop.clock(),
            reach=parse_reach(data.stations, data.lots),
        )
    except Conflict as problem:
        return await people(shop, problem=str(problem))
    told = "Changed; with another role that person signs in again."
    return await people(shop, notice=told)


async def own_account(
    request: PageRequest, shop: PageContext, *, notice: str = "", problem: str = ""
) -> Template:
    """Return the page of one's own account."""
    who = who_is(request)
    connected = await shop.provider.connected_since(who) if shop.provider else None
    async with shop.database.transaction() as reads:
        sessions = await accounts_of(shop).sessions_of(reads, who.account)
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "account.html",
            sessions=[{**row, "own": row["digest"] == who.session} for row in sessions],
            provider=shop.provider.name if shop.provider else "",
            connected=connected,
            notice=notice,
            problem=problem,
        )


async def people(
    shop: PageContext,
    *,
    notice: str = "",
    problem: str = "",
    link: str = "",
    told: str = "",
) -> Template:
    """Return the page of people, links and tokens."""
    accounts_of(shop)
    accounts = await rows.list_accounts(shop.database, shop.tenant)
    tokens = await rows.list_tokens(shop.database, shop.tenant)
    links = await rows.list_links(shop.database, shop.tenant, shop.clock())
    views = await view_rows.list_all(shop.database, shop.tenant, shop.clock())
    readers = await shop.readers.names() if shop.readers else []
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "people.html",
            people=accounts,
            links=links,
            views=views,
            tokens=tokens,
            readers=readers,
            readers_kept=shop.readers is not None and shop.readers.kept_here,
            roles=list(Role),
            scopes=list(Scope),
            notice=notice,
            problem=problem,
            link=link,
            told=told,
        )


HANDLERS = (
    *(login_page, sign_in, sign_out, join_page, join),
    *(account_page, change_password, end_session),
    *(
        people_page,
        audit_page,
        invite,
        remove_link,
        recover_person,
        sign_person_out,
        make_station_code,
        make_token,
        remove_token,
        change_person,
    ),
)
