"""Programs that ask again: 304 as long as nothing was heard, and tokens that are remembered."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool, limited_to
from cardmint_cloud.domain.permissions import Scope
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.web import sign_in
from cardmint_cloud.web.routes import build_dashboard
from cardmint_cloud.web.sign_in import KnownPrograms
from cardmint_cloud.web.unchanged import LONGEST, MAX_KEPT_BYTES, MOST_KEPT, UnchangedAnswers
from tests.cloud.kit.accounts import accounts_of
from tests.cloud.kit.cards import NOW, accepted, send
from tests.cloud.kit.web import serve

ADMIN = UUID(int=7)
PATH = "/api/v1/shop/items"


class Asked:
    """`UnchangedAnswers` before an app that answers 200, or what it is told to, in two parts."""

    def __init__(self) -> None:
        self.mark: str | None = "run-1"
        self.now, self.status, self.made, self.body = NOW, 200, 0, b"{}"
        self._app = UnchangedAnswers(self._answer, lambda _tenant: self.mark, lambda: self.now)

    async def _answer(self, _scope: Any, _receive: Any, send: Callable[..., Any]) -> None:
        self.made += 1
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def ask(
        self, tag: str = "", *, path: str = PATH, query: bytes = b"", method: str = "GET"
    ) -> tuple[int, str]:
        """Return status and tag of an answer."""
        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        headers = [(b"if-none-match", tag.encode())] if tag else []
        scope: Any = {"type": "http", "method": method, "path": path, "headers": headers}
        app: Any = self._app
        await app({**scope, "query_string": query}, None, keep)
        found = dict(sent[0]["headers"]).get(b"etag", b"").decode()
        assert (sent[0]["status"] == 304) == (sent[1]["body"] == b"")
        return sent[0]["status"], found


async def test_the_same_answer_is_not_made_twice() -> None:
    asked = Asked()
    status, tag = await asked.ask()
    assert (status, tag.startswith('W/"run-1-')) == (200, True)
    assert (await asked.ask(tag))[0] == 304
    asked.now += timedelta(seconds=1)
    status, again = await asked.ask(tag)
    assert (status, again) == (304, tag), "not good for another minute"
    asked.mark = "run-2"
    assert (await asked.ask(tag))[0] == 200


async def test_who_sends_no_tag_gets_what_was_made_before() -> None:
    asked = Asked()
    first = await asked.ask()
    assert (await asked.ask(), asked.made) == (first, 1)
    asked.now += LONGEST
    assert (await asked.ask(), asked.made) == (first, 1)
    asked.now += timedelta(seconds=1)
    await asked.ask()
    assert asked.made == 2, "too old"
    asked.mark = "run-2"
    await asked.ask()
    assert asked.made == 3, "something was heard"
    with limited_to(Reach(lots=frozenset({"june"}))):
        await asked.ask()
    assert asked.made == 4, "somebody else's"
    await asked.ask(method="POST", path="/items/change")
    await asked.ask()
    assert asked.made == 6, "somebody changed something here"


async def test_few_and_short_answers_are_kept() -> None:
    asked = Asked()
    for number in range(MOST_KEPT + 1):
        await asked.ask(query=b"limit=%d" % number)
    await asked.ask(query=b"limit=%d" % MOST_KEPT)
    assert asked.made == MOST_KEPT + 1
    await asked.ask(query=b"limit=0")
    assert asked.made == MOST_KEPT + 2
    asked.body = bytes(MAX_KEPT_BYTES + 1)
    for _ in range(2):
        await asked.ask(query=b"limit=long")
    assert asked.made == MOST_KEPT + 4
    asked.status = 404
    for _ in range(2):
        await asked.ask(query=b"limit=none")
    assert asked.made == MOST_KEPT + 6


async def test_what_a_tag_is_not_good_for() -> None:
    asked = Asked()
    _, tag = await asked.ask()
    assert (await asked.ask(tag, query=b"limit=3"))[0] == 200
    assert (await asked.ask(tag, path="/api/v1/rival/items"))[0] == 200
    with limited_to(Reach(lots=frozenset({"june"}))):
        assert (await asked.ask(tag))[0] == 200
    for wrong in ("", "*", '"', "W/", tag[:-2], tag.replace("run", "ran"), tag + "9" * 20):
        assert (await asked.ask(wrong))[0] == 200, wrong
    asked.now += LONGEST + timedelta(seconds=1)
    assert (await asked.ask(tag))[0] == 200
    asked.now = NOW - timedelta(seconds=1)
    assert (await asked.ask(tag))[0] == 200, "a tag of the future"


async def test_where_there_is_no_tag() -> None:
    asked = Asked()
    for path in ("/", "/items", "/api/v1/shop/value", "/api/v1/tenant", "/events"):
        assert (await asked.ask(path=path))[1] == "", path
    assert (await asked.ask(method="POST", path="/api/v1/shop/cards"))[1] == ""
    asked.status = 404
    assert (await asked.ask())[1] == ""
    asked.mark, asked.status = None, 200
    assert await asked.ask() == (200, ""), "while nothing can be heard of"


@pytest.mark.integration
@pytest.mark.greenlets
async def test_a_program_asks_until_something_changed(
    pool: Pool, engine: AsyncEngine, tmp_path: Path
) -> None:
    accounts = accounts_of(pool)
    token = await accounts.add_token("robot", Scope.READ, NOW)
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path),
        tenant="shop",
        accounts=accounts,
        clock=lambda: NOW,
    )
    headers = {"authorization": f"Bearer {token}"}
    async with serve(app) as client, asyncio.timeout(60):
        tag = ""
        while not tag:  # Until changes are listened to, and what was said at first is over.
            await asyncio.sleep(0.05)
            first = await client.get(PATH, headers=headers)
            tag = first.headers.get("etag", "")
        conditional = {**headers, "if-none-match": tag}
        unchanged = await client.get(PATH, headers=conditional)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["cache-control"] == "no-store"
        one = accepted()
        await send(pool, one)
        while True:
            answer = await client.get(PATH, headers=conditional)
            if answer.status_code != 304:
                break
            await asyncio.sleep(0.01)
        assert [item["item"] for item in answer.json()["items"]] == [str(one.scan)]
        await accounts.remove_token("robot", NOW, by=one.scan)
        refused = await client.get(PATH, headers=conditional)
        assert refused.status_code == 401, "at once"


class Heard:
    """How much was heard."""

    mark: str | None = "1"


@pytest.mark.integration
async def test_a_token_is_remembered_until_something_is_heard(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "KNOWN_S", 3600.0)
    here, elsewhere, heard = accounts_of(pool), accounts_of(pool), Heard()
    known = KnownPrograms(here, lambda: heard.mark)
    end = NOW + timedelta(days=1)
    token = await here.add_token("robot", Scope.READ, NOW, expires_at=end)

    async def found(now: datetime = NOW) -> bool:
        return await known.find(token, now) is not None

    assert await found()
    assert not await found(end), "it ends by its own time"
    assert await found()
    await elsewhere.remove_token("robot", NOW, by=ADMIN)
    assert await found(), "nothing was heard yet"
    heard.mark = "2"
    assert not await found()
    token = await elsewhere.add_token("robot", Scope.READ, NOW)
    assert await found(), "what is not known is asked for each time"
    await here.remove_token("robot", NOW, by=ADMIN)
    assert not await found(), "removed here: at once"

    heard.mark = None
    token = await here.add_token("robot", Scope.READ, NOW)
    assert await found()
    await elsewhere.remove_token("robot", NOW, by=ADMIN)
    assert not await found(), "while nothing can be heard of, nothing is remembered"


@pytest.mark.integration
async def test_few_tokens_are_remembered(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "MOST_KNOWN", 2)
    accounts = accounts_of(pool)
    known = KnownPrograms(accounts, lambda: "1")
    for number in range(5):
        token = await accounts.add_token(f"robot {number}", Scope.READ, NOW)
        assert await known.find(token, NOW) is not None
