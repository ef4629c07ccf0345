"""Cards by JSON: found, counted, changed, taken back, added, answered; two at once are told."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.permissions import Scope
from cardmint_cloud.web.routes import build_dashboard
from cardmint_contracts.cards import Condition, ScanDefaults
from tests.cloud.kit.accounts import accounts_of
from tests.cloud.kit.cards import FOX, NOW, OWL, accepted, doubtful, send
from tests.cloud.kit.web import serve

pytestmark = pytest.mark.integration
API = "/api/v1/shop"


async def stock(pool: Pool) -> list[tuple[Any, ...]]:
    found = await TenantDatabase(pool, "shop").fetch(
        "SELECT item, version, bin, card_id, stock FROM items ORDER BY item"
    )
    return [tuple(row) for row in found]


async def test_cards_are_found_and_counted_by_their_facets(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    near = ScanDefaults(bin="A1", condition=Condition.NEAR_MINT)
    await send(pool, accepted(defaults=near), accepted(), accepted(OWL, defaults=near), doubtful())
    found = (await site.get(f"{API}/cards", params={"q": "bin:A1 order:name", "size": 1})).json()
    assert (found["count"], found["page"], found["size"]) == (2, 1, 1)
    assert found["cards"][0]["name"] == OWL.name
    facets = (await site.get(f"{API}/cards/facets")).json()["facets"]
    assert facets["bin"] == [{"value": "", "count": 2}, {"value": "A1", "count": 2}]
    assert facets["set"] == [{"value": "fic1", "count": 3}, {"value": "", "count": 1}]
    assert facets["status"] == [{"value": "counted", "count": 3}, {"value": "review", "count": 1}]
    assert facets["condition"][0] == {"value": "", "count": 2}
    narrowed = (await site.get(f"{API}/cards/facets", params={"q": "owl"})).json()["facets"]
    assert narrowed["bin"] == [{"value": "A1", "count": 1}]
    for path in ("cards", "cards/facets"):
        answer = await site.get(f"{API}/{path}", params={"q": "foo:1"})
        assert answer.status_code == 400
        assert "no keyword `foo`" in answer.json()["reason"]


async def test_a_change_is_previewed_made_and_taken_back(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    await send(pool, accepted(), accepted(), accepted(OWL))
    asked: dict[str, Any] = {"q": "fox", "values": {"bin": "B1"}}
    shown = (await site.post(f"{API}/changes/preview", json=asked)).json()
    assert (len(shown["items"]), shown["fields"], shown["changed_meanwhile"]) == (2, ["bin"], [])
    made = {"items": shown["items"], "values": {"bin": "B1", "cleared": ["lot"]}, "card_id": OWL.id}
    done = (await site.post(f"{API}/changes", json=made)).json()
    assert done["items"] == 2
    assert [row[2:4] for row in await stock(pool)].count(("B1", OWL.id)) == 2
    late = await site.post(f"{API}/changes", json=made)
    assert (late.status_code, "changed meanwhile" in late.json()["reason"]) == (409, True)
    stale = (await site.post(f"{API}/changes/preview", json=made)).json()
    assert sorted(stale["changed_meanwhile"]) == sorted(one["item"] for one in made["items"])
    back = (await site.post(f"{API}/changes/{done['change']}/undo")).json()
    assert (back["items"], back["kept"]) == (2, 0)
    assert (await site.post(f"{API}/changes/{done['change']}/undo")).status_code == 409
    assert (await site.post(f"{API}/changes/{uuid4()}/undo")).status_code == 404
    listed = (await site.get(f"{API}/changes")).json()["changes"]
    assert [one["change"] for one in listed] == [back["change"], done["change"]]
    assert listed[0]["undoes"] == done["change"]


async def test_of_two_people_at_once_the_second_is_told(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    scan = accepted()
    await send(pool, scan)
    seen = [{"item": str(scan.scan), "version": 1}]
    answers = await asyncio.gather(
        *(
            site.post(f"{API}/changes", json={"items": seen, "values": {"bin": name}})
            for name in ("left", "right")
        )
    )
    assert sorted(one.status_code for one in answers) == [200, 409]
    ((_, version, kept, _, _),) = await stock(pool)
    first = next(n for n, one in enumerate(answers) if one.status_code == 200)
    assert (version, kept) == (2, ("left", "right")[first])


async def test_cards_are_added_once_and_questions_answered(
    pool: Pool, site: httpx.AsyncClient
) -> None:
    asked = doubtful()
    await send(pool, accepted(), accepted(OWL), asked)
    body = {"card_id": FOX.id, "reference": "r1", "quantity": 2, "values": {"bin": "C1"}}
    assert (await site.post(f"{API}/cards", json=body)).status_code == 201
    assert (await site.post(f"{API}/cards", json=body)).status_code == 409
    assert len(await stock(pool)) == 5
    task = review_task_id(asked.scan)
    wrong = {"version": 7, "verdict": "card", "card_id": OWL.id}
    assert (await site.post(f"{API}/reviews/{task}/answer", json=wrong)).status_code == 409
    right = {**wrong, "version": 1, "card_id": FOX.id, "language": "fr"}
    assert (await site.post(f"{API}/reviews/{task}/answer", json=right)).status_code == 200
    late = await site.post(f"{API}/reviews/{task}/answer", json=right)
    assert "answered first" in late.json()["reason"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("changes", {}, 409),
        ("changes", {"q": "fox", "values": {"bin": "A"}}, 400),
        ("changes", {"items": [{"item": "x", "version": 1}]}, 400),
        ("changes", {"items": [{"item": str(UUID(int=1)), "version": 0}]}, 400),
        ("changes", {"items": [{"item": str(UUID(int=1)), "version": 1}], "more": 1}, 400),
        ("changes", {"items": [{"item": str(UUID(int=1)), "version": 1}], "card_id": "no-1"}, 404),
        (
            "changes",
            {"items": [{"item": str(UUID(int=1)), "version": 1}], "values": {"bin": "A"}},
            404,
        ),
        ("changes", {"values": {"bin": "A", "cleared": ["bin"]}}, 400),
        ("changes", {"values": {"bin": "two\nlines"}}, 400),
        ("changes", {"values": {"card": {"id": "a-1", "name": "Forged"}}}, 400),
        ("changes/preview", {"q": "foo:1"}, 400),
        ("changes/preview", {"q": "x" * 10_000}, 400),
        ("cards", {"card_id": FOX.id}, 400),
        ("cards", {"card_id": FOX.id, "reference": ""}, 400),
        ("cards", {"card_id": FOX.id, "reference": "a", "quantity": 10**20}, 400),
        ("cards", {"card_id": FOX.id, "reference": "a", "values": {"cleared": ["bin"]}}, 400),
        ("cards", {"card_id": "none-1", "reference": "a"}, 404),
        (f"reviews/{UUID(int=1)}/answer", {"version": 1, "verdict": "no_card"}, 404),
        (f"reviews/{UUID(int=1)}/answer", {"version": 1, "verdict": "card"}, 400),
        (f"reviews/{UUID(int=1)}/answer", {"version": 1, "verdict": "maybe"}, 400),
        (f"changes/{UUID(int=1)}/undo", {}, 404),
    ],
    ids=range(21),
)
async def test_what_cannot_be_is_said_and_nothing_is_changed(
    path: str, body: dict[str, Any], status: int, pool: Pool, site: httpx.AsyncClient
) -> None:
    await send(pool, accepted())
    before = await stock(pool)
    answer = await site.post(f"{API}/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["reason"]
    other = await site.post(f"/api/v1/other/{path}", json=body)
    assert other.status_code == 404
    for content in (b"", b"\xff", b"[", b'"x"'):
        if path != f"changes/{UUID(int=1)}/undo":
            answer = await site.post(f"{API}/{path}", content=content)
            assert answer.status_code == 400
    assert await stock(pool) == before


async def test_the_state_of_accuracy_and_circuits_is_told(
    pool: Pool, owner: Pool, site: httpx.AsyncClient
) -> None:
    await owner.execute(
        "INSERT INTO provider_states (provider, worker, state, since, calls, failed, slow,"
        " answered, cached, last_error, updated_at)"
        " VALUES ('tcgdex', $2, 'open', $1, 9, 5, 0, 4, 0, '', $1)",
        NOW,
        uuid4(),
    )
    told = (await site.get("/api/v1/health/circuits")).json()
    assert [(one["provider"], one["state"]) for one in told["circuits"]] == [("tcgdex", "open")]
    assert told["circuits"][0]["workers"][0]["failed"] == 5
    status = (await site.get("/api/v1/accuracy/status")).json()
    assert (status["recognisers"], status["as_of"][:10]) == ([], "2026-11-22")


async def test_a_program_changes_cards_with_a_token_to_write(
    pool: Pool, engine: AsyncEngine, tmp_path: Any
) -> None:
    accounts = accounts_of(pool, "shop")
    app = build_dashboard(
        engine=engine,
        pool=pool,
        images=FolderStorage(tmp_path / "images"),
        tenant="shop",
        accounts=accounts,
        clock=lambda: NOW,
    )
    await send(pool, accepted())
    body = {"card_id": FOX.id, "reference": "r1"}
    async with serve(app) as site:
        for scope, status in ((Scope.READ, 403), (Scope.METRICS, 403), (Scope.WRITE, 201)):
            token = await accounts.add_token(f"till {scope}", scope, NOW)
            headers = {"authorization": f"Bearer {token}"}
            answer = await site.post(f"{API}/cards", json=body, headers=headers)
            assert answer.status_code == status
            told = await site.get("/api/v1/health/circuits", headers=headers)
            assert told.status_code == (403 if scope is Scope.METRICS else 200)
        assert (await site.post("/items/change", headers=headers)).status_code == 403
        listed = (await site.get(f"{API}/changes", headers=headers)).json()["changes"]
    assert [one["by"] for one in listed] == ["program till write"]
