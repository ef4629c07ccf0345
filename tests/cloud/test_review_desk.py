"""The review desk: which questions of how many are shown, and any card found by what is printed."""

import re

import httpx
import pytest
from msgspec.structs import replace

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.domain.items import review_task_id
from cardmint_contracts.cards import Card, ScanDefaults
from tests.cloud.kit.cards import accepted, doubtful, send
from tests.cloud.kit.web import HTMX_REQUEST, plain

pytestmark = pytest.mark.integration


def shown(page: str) -> int:
    return page.count("data-review")


async def test_the_desk_says_how_many_wait_and_which(pool: Pool, site: httpx.AsyncClient) -> None:
    estate = ScanDefaults(lot="estate")
    await send(pool, *(doubtful(defaults=estate) for _ in range(23)))
    await send(pool, doubtful(), station="right")
    first = plain(await site.get("/reviews"))
    assert ("1 to 20 of 24" in first, shown(first)) == (True, 20)
    assert 'href="/reviews?page=2">After' in first
    second = plain(await site.get("/reviews?page=2"))
    assert ("21 to 24 of 24" in second, shown(second)) == (True, 4)
    assert "21 to 24 of 24" in plain(await site.get("/reviews?page=99999"))
    for query, count in (
        ("station=right", 1),
        ("station=nobody", 0),
        ("lot=estate", 20),
        ("reason=same-art&station=right", 1),
        ("reason=glare", 0),
    ):
        assert shown(plain(await site.get(f"/reviews?{query}"))) == count, query
    chips = re.findall(r'href="(/reviews[^"]*)"> ?(\S+) <small>(\d+)', first)
    assert ("/reviews?station=right", "right", "1") in chips
    (task,) = re.findall(r'id="review-([^"]+)"', plain(await site.get("/reviews?station=right")))
    answer = await site.post(
        f"/reviews/{task}?station=right",
        data={"version": "1", "card": ""},
        headers={**HTMX_REQUEST, "hx-target": "reviews"},
    )
    assert (answer.status_code, shown(plain(answer))) == (200, 0), "the filter stays"
    gone = await site.post(f"/reviews/{task}?station=right", data={"version": "1", "card": ""})
    assert gone.status_code == 409


async def test_any_card_is_found_by_what_is_printed(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    flower = Card(
        id="fic2-54", name="Flab\u00e9b\u00e9", number="054/108", set_id="fic2", set_name="Dawn"
    )
    asked = doubtful()
    await send(pool, accepted(flower), asked)
    task = review_task_id(asked.scan)
    for text in ("flabebe", "FLABE\u0301BE\u0301", "54/108", "dawn 54"):
        page = plain(
            await site.get("/reviews/cards", params={"q": text, "task": str(task), "version": "1"})
        )
        assert 'value="fic2-54"' in page, text
    nothing = plain(await site.get(f"/reviews/cards?q=zz&task={task}&version=1"))
    assert "No printing has all of these words" in nothing
    assert plain(await site.get(f"/reviews/cards?q=&task={task}&version=1")) == ""
    done = await site.post(f"/reviews/{task}", data={"version": "1", "card": "fic2-54"})
    assert done.status_code == 303
    assert (
        await owner.fetchval("SELECT card_id FROM items WHERE item = $1", asked.scan) == "fic2-54"
    )


async def test_an_answer_says_the_language_where_it_is_unclear(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    asked = replace(doubtful(), reasons=("language-unclear",))
    await send(pool, doubtful(), asked)
    page = plain(await site.get("/reviews"))
    assert page.count('name="language"') == 1
    task = review_task_id(asked.scan)
    answer = {"version": "1", "card": asked.candidates[0].card.id}
    wrong = await site.post(f"/reviews/{task}", data={**answer, "language": "French!"})
    assert (wrong.status_code, "a code such as fr" in wrong.text) == (409, True)
    done = await site.post(f"/reviews/{task}", data={**answer, "language": " FR "})
    assert done.status_code == 303
    known = await owner.fetchval("SELECT language FROM items WHERE item = $1", asked.scan)
    assert known == "fr"
