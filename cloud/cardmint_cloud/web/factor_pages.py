"""Pages of second factors: giving one, proving again who asks, setting up and removing them."""

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import segno
from litestar import MediaType, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect, Template
from markupsafe import Markup

from cardmint_cloud.accounts import LINK_GONE, TooSoon
from cardmint_cloud.adapters.passkeys import can_have_passkeys
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.errors import Conflict
from cardmint_cloud.second_factors import Proof, SecondFactors
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.entry import (
    accounts_of,
    address_of,
    entry_page,
    sign_in_page,
    signed_in,
    too_soon,
    who_is,
)
from cardmint_cloud.web.rendering import render_page
from cardmint_cloud.web.sign_in import local_path

_FORM_BYTES = 32 << 10
_SECOND, _PROVE = "second.html", "prove.html"


@dataclass(frozen=True, kw_only=True)
class SecondForm:
    """A code, or a passkey's answer as JSON, and the address to go to."""

    code: str = ""
    passkey: str = ""
    next: str = "/"


@dataclass(frozen=True, kw_only=True)
class ProofForm:
    """The password with a code where there is a factor, or a passkey's answer as JSON."""

    present: str = ""
    code: str = ""
    passkey: str = ""
    next: str = "/account"


@dataclass(frozen=True, kw_only=True)
class CodeForm:
    """A code of the app that is being set up."""

    code: str


@dataclass(frozen=True, kw_only=True)
class PasskeyForm:
    """A new passkey, as JSON, and what its owner calls it."""

    passkey: str
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class FactorForm:
    """The factor to remove."""

    factor: UUID


@dataclass(frozen=True, kw_only=True)
class RecoverForm:
    """A new password."""

    new: str


@dataclass(frozen=True, kw_only=True)
class PasskeySignInForm:
    """A passkey's answer as JSON, and the address to go to."""

    passkey: str = ""
    next: str = "/"


@post("/login/passkey/ask", status_code=200)
async def ask_passkey(request: PageRequest, shop: NamedDependency[PageContext]) -> Response[str]:
    """Return what asks a browser to sign in by a passkey alone, once, within five minutes."""
    options = await _factors(shop).ask_anybody(shop.origin(request), shop.clock())
    return Response(options, media_type=MediaType.JSON, headers={"cache-control": "no-store"})


@post("/login/passkey", status_code=200, request_max_body_size=_FORM_BYTES)
async def sign_in_by_passkey(
    data: URLEncodedBody[PasskeySignInForm],
    request: PageRequest,
    shop: NamedDependency[PageContext],
) -> Response[Any] | Template:
    """Begin a session by a passkey alone, which is two factors in one."""
    wanted = local_path(data.next)
    secret = await _factors(shop).sign_in(
        data.passkey,
        origin=shop.origin(request),
        address=address_of(request),
        agent=request.headers.get("user-agent", ""),
        now=shop.clock(),
    )
    if secret is None:
        told = "That passkey is not known here; try again, or sign in by name and password."
        return sign_in_page(request, shop, wanted, problem=told, status=403)
    return await signed_in(shop, secret, wanted)


@get("/login/second")
async def second_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Response[Any]:
    """Show the page that asks for the second factor."""
    wanted = local_path(request.query_params.get("next", "/"))
    if not who_is(request).waits:
        return Redirect(wanted, status_code=303)
    return await _ask(request, shop, _SECOND, wanted)


@post("/login/second", status_code=200, request_max_body_size=_FORM_BYTES)
async def give_second(
    data: URLEncodedBody[SecondForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any] | Template:
    """End a sign-in by a second factor."""
    who, wanted = who_is(request), local_path(data.next)
    if not who.waits:
        return Redirect(wanted, status_code=303)
    proof = Proof(code=data.code, passkey=data.passkey, origin=shop.origin(request))
    finishing = _factors(shop).finish(who, proof, now=shop.clock(), clock=time.monotonic())
    return await _answer(request, shop, _SECOND, wanted, finishing)


@get("/account/prove")
async def prove_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show the page that asks again who it is."""
    wanted = local_path(request.query_params.get("next", "/account"))
    return await _ask(request, shop, _PROVE, wanted)


@post("/account/prove", status_code=200, request_max_body_size=_FORM_BYTES)
async def prove(
    data: URLEncodedBody[ProofForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Response[Any] | Template:
    """Take the proof of who asks, and go back."""
    who, wanted = who_is(request), local_path(data.next)
    proof = Proof(code=data.code, passkey=data.passkey, origin=shop.origin(request))
    proving = _factors(shop).prove(
        who, data.present, proof, now=shop.clock(), clock=time.monotonic()
    )
    return await _answer(request, shop, _PROVE, wanted, proving)


@get("/account/factors")
async def factors_page(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Show one's second factors, and the app that is being set up."""
    return await _page(request, shop)


@post("/account/factors/totp", status_code=200)
async def begin_totp(request: PageRequest, shop: NamedDependency[PageContext]) -> Response[Any]:
    """Begin to set up an app; the page then shows its QR code."""
    try:
        await _factors(shop).begin_totp(who_is(request), shop.clock())
    except Conflict as problem:
        return await _page(request, shop, problem=str(problem))
    return Redirect("/account/factors", status_code=303)


@post("/account/factors/totp/confirm", status_code=200, request_max_body_size=_FORM_BYTES)
async def confirm_totp(
    data: URLEncodedBody[CodeForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Finish setting up an app by its first code."""
    try:
        codes = await _factors(shop).confirm_totp(
            who_is(request), data.code, now=shop.clock(), clock=time.monotonic()
        )
    except TooSoon as soon:
        page = await _page(request, shop, problem=f"Too many wrong tries; {soon}.")
        return too_soon(page, soon)
    except Conflict as problem:
        return await _page(request, shop, problem=str(problem))
    return await _page(
        request, shop, notice="The app is set up; other sessions ended.", codes=codes
    )


@post("/account/factors/passkey", status_code=200, request_max_body_size=_FORM_BYTES)
async def add_passkey(
    data: URLEncodedBody[PasskeyForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Add the passkey that the browser made."""
    try:
        codes = await _factors(shop).add_passkey(
            who_is(request),
            data.passkey,
            origin=shop.origin(request),
            name=data.label,
            now=shop.clock(),
        )
    except Conflict as problem:
        return await _page(request, shop, problem=str(problem))
    return await _page(
        request, shop, notice="The passkey is added; other sessions ended.", codes=codes
    )


@post("/account/factors/remove", status_code=200)
async def remove_factor(
    data: URLEncodedBody[FactorForm], request: PageRequest, shop: NamedDependency[PageContext]
) -> Template:
    """Remove a factor."""
    try:
        await _factors(shop).remove(who_is(request), data.factor, shop.clock())
    except Conflict as problem:
        return await _page(request, shop, problem=str(problem))
    return await _page(request, shop, notice="Removed; other sessions ended.")


@post("/account/factors/codes", status_code=200)
async def new_codes(request: PageRequest, shop: NamedDependency[PageContext]) -> Template:
    """Make new recovery codes in place of earlier ones."""
    try:
        codes = await _factors(shop).new_recovery_codes(who_is(request), shop.clock())
    except Conflict as problem:
        return await _page(request, shop, problem=str(problem))
    return await _page(request, shop, notice="Earlier codes are gone.", codes=codes)


@get("/recover/{recovery:str}")
async def recover_page(recovery: FromPath[str], shop: NamedDependency[PageContext]) -> Template:
    """Show the page to set a password anew by a link."""
    name = await accounts_of(shop).recovers(recovery, shop.clock())
    if name is None:
        raise NotFoundException(LINK_GONE)
    return entry_page(shop, "recover.html", name=name, secret=recovery, problem="")


@post("/recover/{recovery:str}", status_code=200, request_max_body_size=_FORM_BYTES)
async def recover(
    recovery: FromPath[str],
    data: URLEncodedBody[RecoverForm],
    shop: NamedDependency[PageContext],
) -> Response[Any] | Template:
    """Set a password anew by a link; then its owner signs in."""
    accounts = accounts_of(shop)
    try:
        await accounts.recover(recovery, data.new, shop.clock())
    except Conflict as problem:
        name = await accounts.recovers(recovery, shop.clock())
        return entry_page(
            shop, "recover.html", name=name, secret=recovery, problem=str(problem), status=409
        )
    return Redirect("/login", status_code=303)


def _factors(shop: PageContext) -> SecondFactors:
    return SecondFactors(accounts_of(shop))


async def _ask(
    request: PageRequest,
    shop: PageContext,
    template: str,
    wanted: str,
    *,
    problem: str = "",
    status: int = 200,
) -> Template:
    """Return a page that asks for a factor, by a passkey where the account has one."""
    who = who_is(request)
    options = await _factors(shop).ask_passkey(who, shop.origin(request))
    return entry_page(
        shop, template, who=who, wanted=wanted, options=options, problem=problem, status=status
    )


async def _answer(
    request: PageRequest,
    shop: PageContext,
    template: str,
    wanted: str,
    proving: Awaitable[str | None],
) -> Response[Any] | Template:
    """Go on to `wanted` with the secret of the session that `proving` gives, or ask again."""
    try:
        secret = await proving
    except TooSoon as soon:
        told = f"Too many wrong tries; {soon}."
        return too_soon(await _ask(request, shop, template, wanted, problem=told), soon)
    if secret is None:
        told = "That was not right; try again."
        return await _ask(request, shop, template, wanted, problem=told, status=409)
    return await signed_in(shop, secret, wanted)


async def _page(
    request: PageRequest,
    shop: PageContext,
    *,
    notice: str = "",
    problem: str = "",
    codes: tuple[str, ...] = (),
) -> Template:
    who, factors = who_is(request), _factors(shop)
    found = await factors.list_factors(who)
    setup = await factors.totp_setup(who)
    origin = shop.origin(request)
    needed = accounts_of(shop).needs_factor(who.role)
    async with reading(shop.engine, shop.tenant) as connection:
        return await render_page(
            connection,
            shop,
            "factors.html",
            layout="base.html" if found or not needed else "entry.html",
            factors=found,
            setup=setup,
            code=_drawn(setup.address) if setup else "",
            options=await factors.begin_passkey(who, origin) if can_have_passkeys(origin) else "",
            left=await factors.codes_left(who),
            needed=needed,
            notice=notice,
            problem=problem,
            codes=codes,
        )


def _drawn(address: str) -> Markup:
    """Return a QR code as an SVG element."""
    drawn = segno.make(address, micro=False).svg_inline(scale=4, border=3, lineclass="dark")
    return Markup(drawn)  # noqa: S704 - segno's own drawing, without any text


HANDLERS = (
    *(ask_passkey, sign_in_by_passkey),
    *(second_page, give_second, prove_page, prove, factors_page),
    *(begin_totp, confirm_totp, add_passkey, remove_factor, new_codes),
    *(recover_page, recover),
)
