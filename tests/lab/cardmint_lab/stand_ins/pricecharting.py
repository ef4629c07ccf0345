"""PriceCharting's shapes: hyphenated names, whole pennies, search by words, a token in the URL."""

from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from cardmint_lab.stand_ins.faults import Fault, FaultControl, StandInRequest, made_up_price

_MOST = 20


def handlers(desk: FaultControl) -> list[HTTPRouteHandler]:
    """Return the routes: the base URL ends in /pricecharting."""

    @get("/pricecharting/api/products")
    async def pricecharting_products(request: StandInRequest) -> Response[Any]:
        token, query = request.query_params.get("t", ""), request.query_params.get("q", "")
        return await desk.answer(
            "pricecharting", request, lambda fault: record(token, query, fault)
        )

    return [pricecharting_products]


def record(token: str, query: str, fault: Fault | None = None) -> dict[str, Any]:
    """Return the products that a search finds, each plain and as its first edition.

    Where the set's name ends and the card's begins is unknown, so there is a product for each
    split.
    """
    if len(token) != 40:
        return {"status": "error", "error-message": "Access token is missing or wrong"}
    words, _, number = query.partition(" #")
    parts = words.split(" ")
    products: list[dict[str, Any]] = []
    for cut in range(1, len(parts)):
        console, name = " ".join(parts[:cut]), " ".join(parts[cut:])
        for variant in ("", " [1st Edition]"):
            title = f"{name}{variant} #{'999' if fault == 'wrong-card' else number}"
            products.append(_product(console, title, made_up_price(query + variant), fault))
    return {"status": "success", "products": products[-_MOST:]}


def _product(console: str, title: str, price: int, fault: Fault | None) -> dict[str, Any]:
    return {
        "id": str(price),
        "product-name": title,
        "console-name": console,
        "genre": "Pokemon Card",
        "loose-price": "$1,234.50" if fault == "wrong-types" else price,
        "cib-price": price * 2,
        "new-price": price * 3,
        "graded-price": price * 8,
        "box-only-price": None,
        "manual-only-price": price * 60,
        "condition-17-price": price * 40,
        "sales-volume": "12",
        "tcg-id": str(price),
    }
