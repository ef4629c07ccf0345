"""TCGCSV: TCGplayer's dollars for a whole set at a time, once a day, without a key.

Two calls price every card of a set: its products, which rarely change, and its prices. One product
stands for all finishes of a card; each finish has a row of prices.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from cardmint_cloud.adapters.providers.http import AnswerLoader, ProviderRequest
from cardmint_cloud.domain import provider_ids
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.domain.price_parsing import (
    ImplausibleAnswer,
    as_list,
    as_mapping,
    first_price,
    parse_variant,
)
from cardmint_cloud.domain.quotes import Quote
from cardmint_cloud.errors import NotFound
from cardmint_contracts.cards import Card

PRODUCTS_FOR = timedelta(days=30)
_FIGURES = (
    *(("market", "marketPrice"), ("mid", "midPrice"), ("low", "lowPrice")),
    *(("direct low", "directLowPrice"), ("high", "highPrice")),
)


class TcgCsv:
    """The provider. `groups` are those that the catalogue names, by set."""

    name = "tcgcsv"
    rate = RateLimit(per_s=2, burst=4, per_day=1_000)

    def __init__(self, groups: Mapping[str, int] | None = None) -> None:
        self._groups = groups or {}

    async def quotes(self, card: Card, get: AnswerLoader, now: datetime) -> tuple[Quote, ...]:
        """Return TCGplayer's quotes of a card; () when it lists no price.

        Raises:
            NotFound: no known group holds the card's set, or none of its products is the card.
        """
        set_id = provider_ids.set_of(card)
        known = provider_ids.tcgplayer_groups(set_id)
        named = self._groups.get(set_id)
        for group in known or (() if named is None else (named,)):
            products = await get(
                ProviderRequest(path=f"/tcgplayer/3/{group}/products"), PRODUCTS_FOR
            )
            product = find_product(products.value, card)
            if product is not None:
                prices = await get(ProviderRequest(path=f"/tcgplayer/3/{group}/prices"))
                return read_quotes(prices.value, product, min(now, prices.at))
        raise NotFound(
            f"no product of TCGplayer's is known for set {set_id!r} and this number and name"
        )


def find_product(answer: object, card: Card) -> int | None:
    """Return a group's product with the card's number and name; None when there is none.

    Raises:
        ImplausibleAnswer: the answer is not a list of products.
    """
    number, name = provider_ids.number_of(card), provider_ids.normalised_name(card.name)
    for row in as_list(as_mapping(answer, "the answer").get("results"), "results"):
        product = as_mapping(row, "a product")
        called = provider_ids.normalised_name(str(product.get("cleanName") or product.get("name")))
        if called.startswith(name) and any(
            provider_ids.same_number(text, number) for text in _numbers(product)
        ):
            identifier = product.get("productId")
            if isinstance(identifier, int) and not isinstance(identifier, bool):
                return identifier
            raise ImplausibleAnswer(
                "wrong-type", f"productId is {type(identifier).__name__}, not a number"
            )
    return None


def _numbers(product: Mapping[object, object]) -> list[str]:
    rows = [
        as_mapping(row, "extendedData")
        for row in as_list(product.get("extendedData") or [], "extendedData")
    ]
    return [str(row.get("value")) for row in rows if row.get("name") == "Number"]


def read_quotes(answer: object, product: int, at: datetime) -> tuple[Quote, ...]:
    """Read a product's rows from a group's prices at the moment `at`.

    Raises:
        ImplausibleAnswer: the answer is not a list of prices, or a figure cannot be right.
    """
    found: dict[tuple[str, str], Quote] = {}
    for row in as_list(as_mapping(answer, "the answer").get("results"), "results"):
        figures = as_mapping(row, "a price")
        kind = (
            parse_variant(str(figures.get("subTypeName")))
            if figures.get("productId") == product
            else None
        )
        if kind is None or kind in found or (priced := first_price(figures, _FIGURES)) is None:
            continue
        found[kind] = Quote(
            finish=kind[0],
            edition=kind[1],
            source="tcgcsv/tcgplayer",
            basis=priced[0],
            minor=priced[1],
            currency="USD",
            as_of=at,
        )
    return tuple(found.values())
