"""PriceCharting: ungraded and graded prices in pennies, in fields named after video games.

The token is part of the address, so addresses are never shown. One request a second is allowed, and
abuse can end the access. A card is searched by name, number and set, and only an exact match
counts.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from cardmint_cloud.adapters.providers.http import AnswerLoader, ProviderRequest
from cardmint_cloud.domain import provider_ids
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.domain.price_parsing import (
    ImplausibleAnswer,
    as_list,
    as_mapping,
    parse_pennies,
    parse_variant,
)
from cardmint_cloud.domain.quotes import Quote
from cardmint_cloud.errors import NotFound
from cardmint_contracts.cards import Card

_GRADES = {
    "loose-price": "",
    "cib-price": "7",
    "new-price": "8",
    "graded-price": "9",
    "box-only-price": "9.5",
    "manual-only-price": "PSA 10",
    "bgs-10-price": "BGS 10",
    "condition-17-price": "CGC 10",
    "condition-18-price": "SGC 10",
    "condition-19-price": "CGC 10 Pristine",
}
"""Meaning of the fields for cards. Seven independent code bases agree; the last field has one."""

_TITLE = re.compile(r"(?P<name>[^\[#]+?)\s*(\[(?P<variant>[^\]]*)\]\s*)?#(?P<number>\S+)\s*\Z")


class PriceCharting:
    """The provider. It needs its token."""

    name = "pricecharting"
    rate = RateLimit(per_s=1, burst=1, per_day=20_000)

    def __init__(self, token: str) -> None:
        self._secret = {"t": token}

    async def quotes(self, card: Card, get: AnswerLoader, now: datetime) -> tuple[Quote, ...]:
        """Return the quotes of a card, one for each grade.

        Raises:
            NotFound: there is no product with this name, number and set.
        """
        console, number = provider_ids.pricecharting_console(card), provider_ids.number_of(card)
        query = f"{console} {card.name} #{number}"
        answer = await get(
            ProviderRequest(path="/api/products", params={"q": query}, secret_params=self._secret)
        )
        return read_quotes(answer.value, card, min(now, answer.at))


def read_quotes(answer: object, card: Card, at: datetime) -> tuple[Quote, ...]:
    """Read the quotes of a card from the answer to a search at the moment `at`.

    Raises:
        NotFound: none of the products is the card.
        ImplausibleAnswer: the answer is an error, or a figure cannot be right.
    """
    body = as_mapping(answer, "the answer")
    if body.get("status") != "success":
        raise ImplausibleAnswer("provider-error", str(body.get("error-message"))[:200])
    found: dict[tuple[str, str, str], Quote] = {}
    products = [
        as_mapping(product, "a product") for product in as_list(body.get("products"), "products")
    ]
    ours = [(kind, product) for product in products if (kind := _kind(product, card)) is not None]
    if not ours:
        raise NotFound(f"none of the {len(products)} products found is this card")
    for kind, product in ours:
        for name, grade in _GRADES.items():
            minor = parse_pennies(product.get(name), name)
            if minor:
                found.setdefault((*kind, grade), _quote(kind, grade, minor, at))
    return tuple(found.values())


def _kind(product: Mapping[object, object], card: Card) -> tuple[str, str] | None:
    """Return a product's finish and edition; None for another card or an unknown variant."""
    title = _TITLE.match(str(product.get("product-name")))
    if title is None or provider_ids.normalised_name(
        str(product.get("console-name"))
    ) != provider_ids.normalised_name(provider_ids.pricecharting_console(card)):
        return None
    if provider_ids.normalised_name(title["name"]) != provider_ids.normalised_name(card.name):
        return None
    if not provider_ids.same_number(title["number"], provider_ids.number_of(card)):
        return None
    return ("", "") if title["variant"] is None else parse_variant(title["variant"])


def _quote(kind: tuple[str, str], grade: str, minor: int, at: datetime) -> Quote:
    return Quote(
        finish=kind[0],
        edition=kind[1],
        grade=grade,
        source="pricecharting",
        basis="graded" if grade else "ungraded",
        minor=minor,
        currency="USD",
        as_of=at,
    )
