"""Labels to print: a code that a telephone or scanner reads, for each bin, lot or card found."""

from typing import Any, Literal

import segno
from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromQuery
from litestar.response import Template
from markupsafe import Markup

from cardmint_cloud.adapters.postgres.queries import item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import QueryFault, parse_query, with_term
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_cloud.web.item_pages import items_address
from cardmint_cloud.web.rendering import render_page

MOST = 240
"""Labels of one page: ten sheets of 24."""


@get("/items/labels")
async def labels_page(
    request: PageRequest,
    shop: NamedDependency[PageContext],
    q: FromQuery[str] = "",
    of: FromQuery[Literal["bin", "lot", "card"]] = "bin",
) -> Template:
    """Show the labels of the bins, lots or cards that a query finds, 24 to a sheet.

    A label's code is the address of its page.
    """
    try:
        query = parse_query(q, shop.clock().date())
    except QueryFault as fault:
        raise ValidationException(str(fault)) from None
    async with shop.searching, reading(shop.engine, shop.tenant) as connection:
        if of == "card":
            found = await item_list.item_page(connection, shop.tenant, query, limit=MOST + 1)
        else:
            found = await item_list.places(connection, shop.tenant, query, of, limit=MOST + 1)
        return await render_page(
            connection,
            shop,
            "labels.html",
            q=q,
            of=of,
            labels=[_label(request, shop, of, row) for row in found[:MOST]],
            more=len(found) > MOST,
            most=MOST,
        )


def _label(request: PageRequest, shop: PageContext, of: str, row: Any) -> dict[str, Any]:
    if of == "card":
        path = f"/items/{row['item']}"
    elif term := with_term("", of, row["value"]):
        path = items_address(term)
    else:
        return {"row": row, "code": "", "address": ""}  # No query can name it.
    address = shop.link(request, path)
    drawn = segno.make(address, micro=False).svg_inline(border=2, omitsize=True, lineclass="dark")
    code = Markup(drawn)  # noqa: S704 - segno's own drawing, without any text
    return {"row": row, "code": code, "address": address}


HANDLERS = (labels_page,)
