"""TCGdex's shapes, with prices that derive from the card's identifier.

Identifiers that begin with `missing` are unknown.
"""

from datetime import UTC, datetime
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from cardmint_lab.stand_ins.faults import Fault, FaultControl, StandInRequest, made_up_price


def handlers(desk: FaultControl) -> list[HTTPRouteHandler]:
    """Return the routes: the base URL ends in /tcgdex/v2/en."""

    @get("/tcgdex/v2/en/cards/{card_id:str}")
    async def tcgdex_card(card_id: FromPath[str], request: StandInRequest) -> Response[Any]:
        return await desk.answer("tcgdex", request, lambda fault: record(card_id, fault))

    return [tcgdex_card]


def record(card_id: str, fault: Fault | None = None) -> dict[str, Any] | None:
    """Return a card's record: the same for the same id during a day."""
    if card_id.startswith("missing"):
        return None
    price = made_up_price(card_id)
    set_id, _, local_id = card_id.rpartition("-")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    updated = (
        today.replace(year=2024, month=1, day=1).isoformat()
        if fault == "stale"
        else today.isoformat()
    )
    dollars: dict[str, Any] = {
        "updated": updated,
        "unit": "USD",
        "normal": _figures(price),
        "reverse": _figures(price * 2 + 11),
        "holofoil": _figures(price * 3 + 25),
    }
    if fault == "wrong-types":
        dollars = {"updated": 7, "unit": "USD", "normal": {"marketPrice": "$1,234.50"}}
    euros = {
        "updated": updated,
        "unit": "EUR",
        "avg": price / 100,
        "low": price // 2 / 100,
        "trend": price / 100,
        "avg-holo": price * 3 / 100,
        "low-holo": None,
        "trend-holo": price * 3 / 100,
    }
    return {
        "category": "Pokemon",
        "id": "another-1" if fault == "wrong-card" else card_id,
        "localId": local_id,
        "name": f"Card {local_id}",
        "set": {"id": set_id, "name": set_id, "cardCount": {"official": 100, "total": 120}},
        "variants": {"normal": True, "reverse": True, "holo": True, "firstEdition": False},
        "updated": "2026-01-01T00:00:00Z",
        # One card in sixteen has no price in dollars.
        "pricing": {"tcgplayer": dollars if price % 16 or fault else None, "cardmarket": euros},
    }


def _figures(price: int) -> dict[str, Any]:
    return {
        "productId": price,
        "lowPrice": price // 2 / 100,
        "midPrice": price / 100,
        "highPrice": price * 4 / 100,
        "marketPrice": price / 100,
        "directLowPrice": None,
    }
