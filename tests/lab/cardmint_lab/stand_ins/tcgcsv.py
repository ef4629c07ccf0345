"""TCGCSV's shapes: a group's products and prices. Every group has cards 1 to 300, "Card N"."""

from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from cardmint_lab.stand_ins.faults import Fault, FaultControl, StandInRequest, made_up_price

CARDS = 300


def handlers(desk: FaultControl) -> list[HTTPRouteHandler]:
    """Return the routes: the base URL ends in /tcgcsv."""

    @get("/tcgcsv/tcgplayer/3/{group:int}/products")
    async def tcgcsv_products(group: FromPath[int], request: StandInRequest) -> Response[Any]:
        return await desk.answer("tcgcsv", request, lambda fault: products(group, fault))

    @get("/tcgcsv/tcgplayer/3/{group:int}/prices")
    async def tcgcsv_prices(group: FromPath[int], request: StandInRequest) -> Response[Any]:
        return await desk.answer("tcgcsv", request, lambda fault: prices(group, fault))

    return [tcgcsv_products, tcgcsv_prices]


def products(group: int, fault: Fault | None = None) -> dict[str, Any]:
    """Return a group's products: one for all finishes of a card, and a box that is not a card."""
    rows = [
        {
            "productId": group * 1000 + number,
            "name": f"Card {number} - {number:03d}/{CARDS}",
            "cleanName": f"Another {number}" if fault == "wrong-card" else f"Card {number}",
            "groupId": group,
            "extendedData": [
                {"name": "Number", "displayName": "Card Number", "value": f"{number:03d}/{CARDS}"}
            ],
        }
        for number in range(1, CARDS + 1)
    ]
    box = {
        "productId": group * 1000,
        "name": "Booster Box",
        "cleanName": "Booster Box",
        "extendedData": [],
    }
    return {"success": True, "errors": [], "results": [box, *rows]}


def prices(group: int, fault: Fault | None = None) -> dict[str, Any]:
    """Return a group's prices: a row for each finish, some figures null."""
    rows: list[dict[str, Any]] = []
    for number in range(1, CARDS + 1):
        price = made_up_price(f"{group}/{number}")
        for name, times in (("Normal", 1), ("Reverse Holofoil", 2)):
            rows.append(
                {
                    "productId": group * 1000 + number,
                    "lowPrice": None,
                    "midPrice": price * times / 100,
                    "highPrice": price * times / 25,
                    "marketPrice": "$1,234.50" if fault == "wrong-types" else price * times / 100,
                    "directLowPrice": None,
                    "subTypeName": name,
                }
            )
    return {"success": True, "errors": [], "results": rows}
