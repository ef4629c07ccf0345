"""The proof that tenants are apart: every route, command and job, with another tenant's ids.

The walk is made from the application's routes, the permission table and the job queue's tasks: what
is new is walked by itself, and a parameter that the walk cannot fill fails it. For each, whoever
asks, another tenant's identifiers get the same answer as identifiers that nobody has, no answer has
anything of that tenant, and its rows and files stay as they were.
"""

import asyncio
import dataclasses
import difflib
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud import background_jobs
from cardmint_cloud.accounts import Accounts
from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.permissions import OPEN_PATHS, Role, Scope
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.errors import NotFound
from cardmint_cloud.pricing.price import price_card
from cardmint_cloud.reviews.opening import open_for_printing
from cardmint_cloud.web.import_pages import ImportForm
from cardmint_cloud.web.item_forms import AddForm, ChangeForm
from cardmint_cloud.web.routes import build_dashboard
from tests.cloud.kit.accounts import MASTERS, PASSWORD, accounts_of, join, webhooks_of
from tests.cloud.kit.cards import NOW, accepted, send
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.prices import QuoteSourceStub, quote
from tests.cloud.kit.reviews import NO_RULES
from tests.cloud.kit.say import say
from tests.cloud.kit.two_tenants import (
    OTHER_HALL,
    OWN,
    THEIRS,
    TenantIds,
    digest_of_rows,
    fill_every_table,
    unknown_ids,
)
from tests.cloud.kit.web import plain, serve

pytestmark = [pytest.mark.integration, pytest.mark.greenlets, pytest.mark.long]

WORDS = {
    "action": ("requeue", "discard"),
    "verdict": ("take", "refuse", "undo"),
    "name": ("tcgdex",),
    "form": ("csv", "json", "xlsx"),
}
"""Parameters of paths that name no tenant's thing, and what is put there."""

BOUNDARY = "between-parts"
SPANNING = {"due", "ask", "rescue", "age", "recall", "tidy"}
"""Tasks of the clock, which look after all tenants and take no identifiers."""

CHANGING = re.compile(
    r"/(?:join|recover|view)/[\w-]+|\d\d:\d\d:\d\d|[0-9a-f]{64}|(?:^cardmint_http_request.*\n)+"
    r'|<ul class="(?:codes|(?:log|links) answered)">[\s\S]*?</ul>|<svg[\s\S]*?</svg>'
    r'|data-options="[^"]*"'
    r'|/people/webhooks/[\w-]{30,}|--code [\w-]+|cm_[\w-]+|<code class="secret">[^<]+'
    r'|name="(?:link|reference)" value="[^"]{5,}"',
    re.MULTILINE,
)
"""What differs from one answer to the next: new links and secrets, times, measured durations, and
the audit log, in which each request may write a line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asker:
    """Who asks: a name for messages, and the headers that say so."""

    name: str
    headers: Mapping[str, str]
    account: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request, made from the routes and from a tenant's identifiers."""

    method: str
    path: str
    content: str = ""
    query: str = ""

    @property
    def url(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


class Walk:
    """One tenant's dashboard over a database with two tenants, and who may ask there."""

    def __init__(
        self, app: Litestar, client: httpx.AsyncClient, owner: Pool, accounts: Accounts
    ) -> None:
        self.app, self.client, self.owner, self.accounts = app, client, owner, accounts
        self.attempts = 0
        self._sessions: dict[str, bytes] = {}

    async def person(self, accounts: Accounts, role: Role, reach: Reach | None = None) -> Asker:
        name = f"own {role}" + (f" of {reach.words}" if reach else "")
        secret, who = await join(accounts, name, role, NOW, reach=reach)
        return Asker(name=name, headers={"cookie": f"session={secret}"}, account=who.account)

    async def answer(self, asker: Asker, asked: Asked) -> httpx.Response:
        self.attempts += 1
        if asker.account is not None:
            self.accounts.forget_tries(asker.account)  # No pauses: they are not what is compared.
        headers = {**asker.headers}
        if asked.method == "POST":
            multipart = asked.content.startswith(f"--{BOUNDARY}")
            headers["content-type"] = (
                f"multipart/form-data; boundary={BOUNDARY}"
                if multipart
                else "application/x-www-form-urlencoded"
            )
        if asked.method == "PATCH":
            headers["upload-offset"] = "0"
        return await self.client.request(
            asked.method, asked.url, content=asked.content, headers=headers
        )


def requests(app: Litestar, ids: TenantIds) -> Iterator[Asked]:
    """Yield a request, or several, for each method of each route."""
    for route in sorted(app.routes, key=lambda route: route.path):
        assert isinstance(route, HTTPRoute), route.path
        for handler in route.route_handlers:
            for method in sorted(handler.http_methods - {"OPTIONS"}):
                form = handler.parsed_fn_signature.parameters.get("data")
                for path in _paths(route, ids):
                    contents = [""] if form is None else _forms(form.annotation, ids)
                    for content in ["x"] if method in {"PUT", "PATCH"} else contents:
                        yield Asked(method=method, path=path, content=content)
                    if method == "GET":
                        yield Asked(method=method, path=path, query=_query(ids))


def _paths(route: HTTPRoute, ids: TenantIds) -> list[str]:
    """Return a route's paths with a tenant's identifiers, under its own name and under ours."""
    paths = [""]
    for part in route.path_components:
        if isinstance(part, str):
            choices: tuple[str, ...] = (part,)
        elif part.name == "tenant":
            choices = (ids.tenant, OWN)
        elif part.name in WORDS:
            choices = WORDS[part.name] if route.path != "/static/{name:str}" else ("app.css",)
        else:
            # No such identifier: add it to TenantIds.
            choices = (str(getattr(ids, part.name)),)
        paths = [f"{path}/{choice}" for path in paths for choice in choices]
    return [path or "/" for path in paths]


def _forms(annotation: Any, ids: TenantIds) -> list[str]:
    """Return a form's contents with a tenant's identifiers in every field that takes one."""
    assert isinstance(annotation, type)
    assert dataclasses.is_dataclass(annotation), annotation
    names = {"TokenForm": ids.token, "NewTokenForm": ids.token, "RemoveForm": ids.kept}
    values = {
        "version": "1",
        "card": ids.card_id,
        "lease": ids.lease,
        "chosen": f"{ids.task}/1",
        "verdict": "first",
        "name": names.get(annotation.__name__, ids.person),
        "password": PASSWORD,
        "next": f"/items/{ids.item}",
        "present": "not the present password",
        "new": "another long sentence, of herons",
        "session": ids.session,
        "code": "123456",
        "passkey": "",
        "label": "heron",
        "factor": ids.factor,
        "link": ids.link,
        "digest": ids.digest,
        "days": "7",
        "scope": "read",
        "station": ids.station,
        "reader": ids.station,
        "per_minute": "60",
        "origins": "https://example.com",
        "q": f"lot:{ids.lot}",
        "account": ids.account,
        "factors": "true",
        "language": "fr",
        "finish": "holo",
        "edition": "first",
        "role": "viewer",
        "disabled": "true",
        "stations": "left",  # Names, which need not exist; the log tells what was typed.
        "lots": "june",
        "url": "https://3221225991/new",
        "kinds": "prices",
        "event": "1",
        "sku": f"sku of {ids.tenant}",
    }
    if annotation is AddForm:
        added = {"card": ids.card_id, "reference": ids.lot, "quantity": "2", "bin": "theirs"}
        return [urlencode(added)]
    if annotation is ImportForm:
        return [_file(f"item,version,note\n{ids.item},{ids.version},not theirs to write\n")]
    if annotation is not ChangeForm:
        fields = {field.name: values[field.name] for field in dataclasses.fields(annotation)}
        return [urlencode(fields)]
    named = f"{ids.item}/{ids.version}"
    note = {"note": "not theirs to write", "back": f"/items/{ids.item}"}
    which = (
        {"chosen": named},
        {"pins": ids.pins},
        {"everything": "yes", "q": f"lot:{ids.lot}"},
        {"chosen": named, "card": ids.card_id},
    )
    return [urlencode({**note, **one}) for one in which]


def _file(content: str) -> str:
    """Return a form with a file, which is imported."""
    part = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="'
    return (
        f'{part}act"\r\n\r\nimport\r\n'
        f'{part}file"; filename="cards.csv"\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n'
    )


def _query(ids: TenantIds) -> str:
    values = {
        "q": ids.card_id,
        "set": ids.set_id,
        "lot": ids.lot,
        "card": ids.card_id,
        "item": ids.item,
        "after": f"2020-01-01T00:00:00+00:00_{ids.item}",
        "size": "thumbnail",
        "tenant": ids.tenant,
    }
    return urlencode(values)


def without(text: str, ids: TenantIds) -> str:
    """Return a text without the identifiers that were asked for, and without what changes."""
    return CHANGING.sub("…", masked(text, ids))


def masked(text: str, ids: TenantIds) -> str:
    """Return a text without the identifiers that were asked for."""
    values = sorted((str(value) for value in dataclasses.astuple(ids)), key=len, reverse=True)
    for value in values:
        text = text.replace(value, "ID").replace(value.replace("-", ""), "ID")
    return text


def _tells(text: str, mark: str) -> bool:
    """Whether a text has a mark; a number within a longer one, such as a metric's sum, is none."""
    if mark.isdigit():
        return re.search(rf"(?<![\d.]){mark}(?![\d.])", text) is not None
    return mark in text


def shown(answer: httpx.Response, ids: TenantIds) -> tuple[int, str, str, str]:
    """Return what of an answer must not depend on whose identifiers were asked for."""
    return (
        answer.status_code,
        without(answer.headers.get("location", ""), ids),
        answer.headers.get("content-type", ""),
        without(answer.text, ids),
    )


def files_of(folder: Path, tenant: str) -> dict[str, str]:
    """Return a hash of each of a tenant's files."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and f"/{tenant}/" in f"/{file.relative_to(folder)}"
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoTenants:
    """Both tenants' identifiers, and those of nobody."""

    own: TenantIds
    theirs: TenantIds
    nobodys: TenantIds


@pytest.fixture
async def two(pool: Pool, owner: Pool, tmp_path: Path) -> TwoTenants:
    own = await fill_every_table(pool, owner, OWN, tmp_path)
    theirs = await fill_every_table(pool, owner, THEIRS, tmp_path)
    return TwoTenants(own=own, theirs=theirs, nobodys=unknown_ids(theirs))


@pytest.fixture
async def walk(
    two: TwoTenants, pool: Pool, owner: Pool, engine: AsyncEngine, tmp_path: Path
) -> AsyncIterator[Walk]:
    accounts = accounts_of(pool, OWN)
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        tenant=OWN,
        artifacts=tmp_path / "artifacts",
        accounts=accounts,
        webhooks=webhooks_of(accounts),
        clock=lambda: NOW,
    )
    async with serve(app) as client:
        yield Walk(app, client, owner, accounts)


async def askers(walk: Walk, pool: Pool, theirs: TenantIds) -> list[Asker]:
    accounts = accounts_of(pool, OWN)
    found = [await walk.person(accounts, role) for role in Role]
    for scope in Scope:
        token = await accounts.add_token(f"own {scope}", scope, NOW)
        found.append(Asker(name=scope, headers={"authorization": f"Bearer {token}"}))
    return [
        *found,
        Asker(name="nobody", headers={}),
        Asker(name="their session", headers={"cookie": f"session={theirs.session_secret}"}),
        Asker(name="their token", headers={"authorization": f"Bearer {theirs.token_secret}"}),
    ]


async def test_another_tenants_ids_are_nobodys_on_every_route(
    walk: Walk,
    two: TwoTenants,
    pool: Pool,
    owner: Pool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    sessions = await owner.fetch("SELECT * FROM account_sessions WHERE tenant = $1", OWN)
    before = await digest_of_rows(owner, THEIRS), files_of(tmp_path, THEIRS)
    marks = [mark for mark in dataclasses.astuple(two.theirs) if len(str(mark)) > 4]
    marks += [
        f"Heron of {THEIRS}",
        f"of-{THEIRS}",
        f"{THEIRS}-hand",
        f"{THEIRS}-bin",
        f"note of {THEIRS}",
        f"view of {THEIRS}",
        f"kept by {THEIRS}",
    ]
    everybody = await askers(walk, pool, two.theirs)
    sessions = await owner.fetch("SELECT * FROM account_sessions WHERE tenant = $1", OWN)
    for asker in everybody:
        pairs = zip(requests(walk.app, two.theirs), requests(walk.app, two.nobodys), strict=True)
        for theirs, nobodys in pairs:
            if theirs.path == "/events" and not theirs.query:
                continue  # An endless stream; the next test reads it.
            if OPEN_PATHS.match(theirs.path) and asker.name != "nobody":
                continue  # Who asks makes no difference there.
            answers = []
            for asked, ids in ((theirs, two.theirs), (nobodys, two.nobodys)):
                answer = await walk.answer(asker, asked)
                answers.append(shown(answer, ids))
                told = masked(f"{answer.headers}{answer.text}", ids)
                assert not [mark for mark in marks if _tells(told, mark)], (asker.name, asked)
                if asked.method != "GET":
                    await _as_before(owner, sessions)
            same = answers[0] == answers[1]
            assert same, "\n".join([f"{asker.name}: {theirs}", *_differences(*answers)])
            assert answers[0][0] != 500, (asker.name, theirs)
        after = await digest_of_rows(owner, THEIRS), files_of(tmp_path, THEIRS)
        assert after == before, asker.name
    say(
        request,
        f"{walk.attempts} requests with another tenant's ids and with nobody's, as"
        f" {len(everybody)} askers",
    )


def _differences(*answers: tuple[int, str, str, str]) -> list[str]:
    theirs, nobodys = (
        [str(part) for part in answer[:3]] + answer[3].splitlines() for answer in answers
    )
    return list(difflib.unified_diff(theirs, nobodys, lineterm="", n=0))[:20]


async def _as_before(owner: Pool, sessions: list[Any]) -> None:
    """Bring back the sessions that a request has ended, and remove what else it made."""
    await owner.execute(
        "DELETE FROM saved_views WHERE tenant = $1 AND name NOT LIKE 'kept by %'", OWN
    )
    await owner.execute(
        "DELETE FROM webhooks WHERE tenant = $1 AND url = 'https://3221225991/new'", OWN
    )
    await owner.execute(
        "DELETE FROM view_links WHERE tenant = $1 AND name <> $2", OWN, f"view of {OWN}"
    )
    await owner.execute(
        "DELETE FROM access_tokens WHERE tenant = $1 AND name NOT LIKE 'own %' AND name <> $2",
        OWN,
        f"{OWN}-program",
    )
    await owner.executemany(
        "INSERT INTO account_sessions SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11"
        " ON CONFLICT DO NOTHING",
        [tuple(row) for row in sessions],
    )


OF_CARDS = (
    *("items", "reviews", "events", "holdings", "printings", "review_leases", "stations"),
    *("dead_letters", "held_quotes", "quotes", "accounts"),
)
"""Tables in which nothing may change by who asks for what is beyond their reach."""


async def limited(walk: Walk, pool: Pool, own: TenantIds) -> list[Asker]:
    """Return people and programs who are limited to the own station, or lot, or both."""
    accounts = accounts_of(pool, OWN)
    station, lot = frozenset({own.station}), frozenset({own.lot})
    found = [
        await walk.person(accounts, Role.VIEWER, Reach(station, lot)),
        await walk.person(accounts, Role.OPERATOR, Reach(lots=lot)),
        await walk.person(accounts, Role.REVIEWER, Reach(stations=station)),
    ]
    for scope, reach in ((Scope.READ, Reach(stations=station)), (Scope.WRITE, Reach(lots=lot))):
        token = await accounts.add_token(f"own {scope}", scope, NOW, reach=reach)
        found.append(Asker(name=scope, headers={"authorization": f"Bearer {token}"}))
    return found


async def test_what_is_beyond_a_reach_is_nobodys_on_every_route(
    walk: Walk,
    two: TwoTenants,
    pool: Pool,
    owner: Pool,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    beyond = await fill_every_table(pool, owner, OWN, tmp_path, mark=OTHER_HALL)
    nobodys = dataclasses.replace(unknown_ids(beyond), tenant=OWN)
    everybody = await limited(walk, pool, two.own)
    sessions = await owner.fetch("SELECT * FROM account_sessions WHERE tenant = $1", OWN)
    rows = await digest_of_rows(owner, OWN)
    before = {table: rows[table] for table in OF_CARDS}
    marks = [mark for mark in dataclasses.astuple(beyond) if len(mark) > 4]
    marks += [f"{word}{OTHER_HALL}" for word in ("Heron of ", "note of ")]
    marks += [f"{OTHER_HALL}{word}" for word in ("-side", "-bin", "-lot")]
    for asker in everybody:
        pairs = zip(requests(walk.app, beyond), requests(walk.app, nobodys), strict=True)
        for theirs, unknown in pairs:
            if theirs.path == "/events" or OPEN_PATHS.match(theirs.path):
                continue
            answers = []
            for asked, ids in ((theirs, beyond), (unknown, nobodys)):
                answer = await walk.answer(asker, asked)
                answers.append(shown(answer, ids))
                told = masked(f"{answer.headers}{answer.text}", ids)
                assert not [mark for mark in marks if _tells(told, mark)], (asker.name, asked, told)
                if asked.path.startswith(("/account", "/log")):
                    await _as_before(owner, sessions)
            same = answers[0] == answers[1]
            assert same, "\n".join([f"{asker.name}: {theirs}", *_differences(*answers)])
            assert answers[0][0] != 500, (asker.name, theirs)
        rows = await digest_of_rows(owner, OWN)
        assert {table: rows[table] for table in OF_CARDS} == before, asker.name
    say(
        request,
        f"{walk.attempts} requests with ids beyond a reach and with nobody's, as"
        f" {len(everybody)} askers",
    )


async def test_what_is_within_a_reach_is_found_and_changed(
    walk: Walk, two: TwoTenants, pool: Pool, owner: Pool, tmp_path: Path
) -> None:
    beyond = await fill_every_table(pool, owner, OWN, tmp_path, mark=OTHER_HALL)
    own, form = two.own, {"content-type": "application/x-www-form-urlencoded"}
    viewer, operator, reviewer, reader, writer = await limited(walk, pool, own)

    async def ask(asker: Asker, method: str, path: str, **fields: str) -> httpx.Response:
        headers = {**asker.headers, **(form if method == "POST" else {})}
        return await walk.client.request(method, path, content=urlencode(fields), headers=headers)

    for asker in (viewer, operator, reviewer):
        for path in (f"/items/{own.item}", "/items", "/reviews", f"/images/{OWN}/{own.sha256}"):
            assert (await ask(asker, "GET", path)).status_code == 200, (asker.name, path)
        landing = await ask(asker, "GET", "/")
        assert (landing.status_code, landing.headers["location"]) == (303, "/items")
        assert (await ask(asker, "GET", "/value")).status_code == 403
        listed = await ask(asker, "GET", "/items/download/csv")
        assert own.card_id in listed.text
        assert beyond.card_id not in listed.text
    for asker in (reader, writer):
        items = await ask(asker, "GET", f"/api/v1/{OWN}/items")
        assert {one["lot"] for one in items.json()["items"]} == {own.lot}
        found = await ask(asker, "GET", f"/api/v1/{OWN}/cards")
        assert found.json()["count"] == 3
    assert (await ask(reader, "GET", f"/api/v1/{OWN}/inventory")).status_code == 403

    chosen = f"{own.item}/{own.version}"
    elsewhere = await ask(operator, "POST", "/items/change", chosen=chosen, lot=beyond.lot)
    assert elsewhere.status_code == 409
    assert f"you may use these lots only: {own.lot}" in plain(elsewhere)
    changed = await ask(operator, "POST", "/items/change", chosen=chosen, note="by the window")
    assert changed.status_code == 200
    undo = re.search(r"/items/undo/([0-9a-f-]{36})", changed.text)
    assert undo is not None
    history = await ask(operator, "GET", f"/items/{own.item}")
    assert "by the window" in history.text
    assert (await ask(operator, "POST", undo[0])).status_code == 200
    answered = await ask(reviewer, "POST", f"/reviews/{own.task}", version="1", card="")
    assert answered.status_code == 303
    assert await owner.fetchval("SELECT state FROM reviews WHERE task = $1", UUID(own.task)) == (
        "answered"
    )


async def test_a_reach_counts_from_the_next_request_on(
    walk: Walk, two: TwoTenants, pool: Pool, owner: Pool, tmp_path: Path
) -> None:
    beyond = await fill_every_table(pool, owner, OWN, tmp_path, mark=OTHER_HALL)
    accounts = accounts_of(pool, OWN)
    viewer = await walk.person(accounts, Role.VIEWER)
    admin = await walk.person(accounts, Role.ADMIN)
    assert viewer.account is not None
    assert admin.account is not None
    page = f"/items/{beyond.item}"
    assert (await walk.client.get(page, headers=viewer.headers)).status_code == 200
    people = f"/people/{viewer.account}"
    limits = {"role": "viewer", "stations": two.own.station, "lots": ""}
    told = await walk.client.post(people, data=limits, headers=admin.headers)
    assert f"only stations {two.own.station}" in plain(told)
    assert (await walk.client.get(page, headers=viewer.headers)).status_code == 404
    log = await walk.client.get("/people/log", headers=admin.headers)
    assert f"stations {two.own.station}" in plain(log)
    for wrong, why in (
        ({"role": "admin", "stations": "left"}, "An admin is not limited"),
        ({"role": "viewer", "stations": "L/ft"}, "is no name of a station"),
        ({"role": "viewer", "lots": "\n".join(map(str, range(51)))}, "At most 50"),
    ):
        refused = await walk.client.post(people, data=wrong, headers=admin.headers)
        assert why in plain(refused)
    metrics = {"name": "meter", "scope": "metrics", "lots": "june"}
    refused = await walk.client.post("/people/tokens/make", data=metrics, headers=admin.headers)
    assert "Only tokens that read or write are limited" in plain(refused)
    await walk.client.post(people, data={"role": "viewer"}, headers=admin.headers)
    assert (await walk.client.get(page, headers=viewer.headers)).status_code == 200


async def test_the_own_ids_are_found(walk: Walk, two: TwoTenants, pool: Pool) -> None:
    """So that the walk does not pass because nothing is ever found."""
    admin = await walk.person(accounts_of(pool, OWN), Role.ADMIN)
    found = set()
    for asked in requests(walk.app, two.own):
        if asked.method == "GET" and asked.path != "/events" and not asked.query:
            answer = await walk.answer(admin, asked)
            if answer.status_code == 200:
                found.add(re.sub(r"[0-9a-f-]{32,}|\d+", "…", asked.path))
    assert {
        "/items/…",
        f"/cards/{OWN}…-…",
        "/dead-letters/…/payload",
        f"/api/v…/{OWN}/items",
        f"/images/{OWN}/…",
        f"/api/v…/{OWN}/artifacts/…",
        "/people",
    } <= found


async def test_live_updates_tell_nothing_of_another_tenant(
    walk: Walk, two: TwoTenants, pool: Pool
) -> None:
    admin = await walk.person(accounts_of(pool, OWN), Role.ADMIN)
    theirs, own = accepted(), accepted()
    heard = ""
    async with walk.client.stream("GET", "/events", headers=admin.headers) as answer:
        async with asyncio.timeout(30):
            async for line in answer.aiter_lines():
                heard += line + "\n"
                if line.startswith("event: ready"):
                    await send(pool, theirs, tenant=THEIRS, now=NOW)
                    await send(pool, own, now=NOW)
                if str(own.scan) in line:
                    break
    assert str(theirs.scan) not in heard
    assert THEIRS not in heard


async def test_no_command_reaches_another_tenants_things(
    two: TwoTenants, owner: Pool, database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    environment = {
        "CARDMINT_CLOUD_DATABASE": database,
        "CARDMINT_CLOUD_TENANT": OWN,
        "CARDMINT_CLOUD_ARTIFACTS": str(tmp_path / "artifacts"),
        "CARDMINT_MASTER_KEYS": MASTERS.lines(),
    }
    before = await digest_of_rows(owner, THEIRS)
    attempts = 0

    async def run(ids: TenantIds, *words: str) -> tuple[int, str]:
        nonlocal attempts
        attempts += 1
        done = await asyncio.to_thread(run_command, *words, **environment)
        return done.returncode, without(done.stdout + done.stderr, ids)

    for words in (
        ("dead-letters", "replay", "{letter}"),
        ("dead-letters", "discard", "{letter}"),
        ("dead-letters", "replay", "--all"),
        ("dead-letters", "list"),
        ("prices", "export", str(tmp_path / "prices.jsonl")),
        ("invite",),
        ("recover", "{person}"),
        ("token", "{token}"),
    ):
        answers = [
            await run(ids, *(word.format_map(dataclasses.asdict(ids)) for word in words))
            for ids in (two.theirs, two.nobodys)
        ]
        secret = re.compile(r"cm_\S+|http\S+")
        assert secret.sub("", answers[0][1]) == secret.sub("", answers[1][1]), words
        assert answers[0][0] == answers[1][0]
        assert THEIRS not in answers[0][1]
    assert two.theirs.card_id not in (tmp_path / "prices.jsonl").read_text()
    assert await digest_of_rows(owner, THEIRS) == before
    say(request, f"{attempts} commands with another tenant's ids and with nobody's")


async def test_no_job_reaches_another_tenants_things(
    two: TwoTenants, pool: Pool, owner: Pool, database: str
) -> None:
    queue = background_jobs.build_queue(database, pool, [])
    tasks = {name for name in queue.tasks if not name.startswith(("builtin", "procrastinate"))}
    assert tasks == {"price", *SPANNING}, "a new task is walked here, or spans all tenants"
    before = await digest_of_rows(owner, THEIRS)
    source = QuoteSourceStub(answers={two.theirs.card_id: [quote(123)]})
    for ids in (two.theirs, two.nobodys):
        with pytest.raises(NotFound, match="no station has named a card"):
            await price_card(pool, [source], OWN, ids.card_id, NOW)
        assert await open_for_printing(pool, NO_RULES, OWN, ids.card_id, NOW) == 0
    assert source.asked == []
    assert await digest_of_rows(owner, THEIRS) == before
