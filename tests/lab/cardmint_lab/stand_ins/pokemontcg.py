"""PokemonTCG.io's shapes: its envelope, numbers as texts, fields that are null."""

from datetime import UTC, datetime
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from cardmint_lab.stand_ins.faults import Fault, FaultControl, StandInRequest, made_up_price


def handlers(desk: FaultControl) -> list[HTTPRouteHandler]:
    """Return the routes: the base URL ends in /pokemontcg/v2."""

    @get("/pokemontcg/v2/cards/{card_id:str}")
    async def pokemontcg_card(card_id: FromPath[str], request: StandInRequest) -> Response[Any]:
        return await desk.answer("pokemontcg", request, lambda fault: record(card_id, fault))

    return [pokemontcg_card]


def record(card_id: str, fault: Fault | None = None) -> dict[str, Any] | None:
    """Return a card's record: the same for the same id during a day."""
    if card_id.startswith("missing"):
        return None
    price = made_up_price(card_id)
    set_id, _, number = card_id.rpartition("-")
    updated = "2024/01/01" if fault == "stale" else f"{datetime.now(UTC):%Y/%m/%d}"
    plain = {
        "low": price / 200,
        "mid": price / 100,
        "high": price / 25,
        "market": price / 100,
        "directLow": None,
    }
    # A number written as a text, among nulls.
    reverse = {
        **dict.fromkeys(("low", "mid", "high", "directLow")),
        "market": f"{price * 2 // 100}.11",
    }
    prices: dict[str, Any] = {"normal": plain, "reverseHolofoil": reverse}
    if fault == "wrong-types":
        prices = {"normal": {"market": "$1,234.50"}}
    return {
        "data": {
            "id": "another-1" if fault == "wrong-card" else card_id,
            "name": f"Card {number}",
            "supertype": "Pokémon",
            "hp": "60",
            "number": number,
            "rarity": "Common",
            "set": {
                "id": set_id,
                "name": set_id,
                "printedTotal": 100,
                "total": 120,
                "releaseDate": "1999/01/09",
            },
            "tcgplayer": {"url": "https://prices.example", "updatedAt": updated, "prices": prices},
            "cardmarket": {
                "url": "https://prices.example",
                "updatedAt": updated,
                "prices": {
                    "trendPrice": price / 100,
                    "averageSellPrice": None,
                    "reverseHoloTrend": None,
                },
            },
        }
    }
