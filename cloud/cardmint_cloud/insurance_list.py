"""The list of cards for an insurer: what a query finds in stock, with pictures and values."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.adapters.insurance_pdf import InsuredCard, insurance_pdf
from cardmint_cloud.adapters.postgres.queries import item_list
from cardmint_cloud.adapters.postgres.queries.reading import reading
from cardmint_cloud.domain.item_query import parse_query
from cardmint_cloud.errors import Conflict
from cardmint_cloud.images import ImageStorage, load_thumbnail, make_thumbnail
from cardmint_contracts.currencies import digits

_HELD = "status:counted stock:in-stock,reserved"
MOST = 1000
"""Cards of one list: 125 pages."""


async def insurance_list(
    engine: AsyncEngine, images: ImageStorage, tenant: str, q: str, today: date
) -> bytes:
    """Return the list as PDF.

    Raises:
        QueryFault: the query cannot be understood.
        Conflict: it finds too many cards.
        OSError: the images are away.
    """
    asked, held = parse_query(q, today), parse_query(_HELD, today)
    query = replace(asked, terms=(*asked.terms, *held.terms))
    async with reading(engine, tenant) as connection:
        found = await item_list.item_page(connection, tenant, query, limit=MOST + 1)
    if len(found) > MOST:
        raise Conflict(f"more than {MOST:,} cards are too many for one list: narrow the search")
    return await asyncio.to_thread(_pdf, images, tenant, found, today)


def _pdf(images: ImageStorage, tenant: str, found: Sequence[RowMapping], today: date) -> bytes:
    worth = "; ".join(
        f"{one.currency} {digits(one.minor, one.currency)}" for one in item_list.worth_of(found)
    )
    unpriced = sum(row["currency"] is None for row in found)
    totals = f"{len(found):,} cards, worth {worth or 'nothing that is known'}"
    totals += f", and {unpriced:,} without a price" if unpriced else ""
    heading = f"Trading cards of {tenant}, {today.isoformat()}"
    return insurance_pdf(heading, totals, _cards(images, tenant, found), len(found))


def _cards(images: ImageStorage, tenant: str, found: Sequence[RowMapping]) -> Iterator[InsuredCard]:
    for row in found:
        picture = None
        if row["image"]:
            picture = load_thumbnail(images, tenant, row["image"]) or make_thumbnail(
                images, tenant, row["image"]
            )
        yield InsuredCard(
            title=f"{row['name'] or row['card_id']} {row['number']}".strip(),
            lines=[line for line in _lines(row) if line],
            language=row["language"],
            picture=picture,
        )


def _lines(row: RowMapping) -> Iterator[str]:
    def words(*values: Any) -> str:
        return ", ".join(str(one).replace("_", " ") for one in values if one)

    yield words(row["set_name"], row["card_id"], row["language"])
    yield words(row["finish"], row["edition"] and f"{row['edition']} edition", row["condition"])
    if row["grader"]:
        certificate = row["certificate"] and f"certificate {row['certificate']}"
        yield words(f"{row['grader']} {row['grade']}", certificate)
    if row["currency"]:
        value = f"worth {row['currency']} {digits(row['minor'], row['currency'])}"
        yield words(value, row["source"], row["as_of"] and f"{row['as_of']:%Y-%m-%d}")
    else:
        yield "no price is known"
    if row["paid_minor"] is not None:
        yield f"bought for {row['paid_currency']} {digits(row['paid_minor'], row['paid_currency'])}"
    yield f"{row['item']}"
