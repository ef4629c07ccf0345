"""TCGdex v2: one card a call, with TCGplayer's dollars or Cardmarket's euros; without a key."""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from cardmint_cloud.adapters.providers.http import AnswerLoader, ProviderRequest
from cardmint_cloud.domain import provider_ids
from cardmint_cloud.domain.call_budget import RateLimit
from cardmint_cloud.domain.price_parsing import (
    ImplausibleAnswer,
    as_mapping,
    first_price,
    parse_date,
    tcgplayer_prices,
)
from cardmint_cloud.domain.quotes import Quote
from cardmint_contracts.cards import Card, Finish

_CURRENCIES = {"tcgplayer": "USD", "cardmarket": "EUR"}
_TCGPLAYER = (
    *(("market", "marketPrice"), ("mid", "midPrice"), ("low", "lowPrice")),
    *(("direct low", "directLowPrice"), ("high", "highPrice")),
)
_CARDMARKET = (("trend", "trend"), ("average", "avg"), ("30-day average", "avg30"), ("low", "low"))


class Tcgdex:
    """The provider."""

    name = "tcgdex"
    rate = RateLimit(per_s=5, burst=10, per_day=50_000)

    async def quotes(self, card: Card, get: AnswerLoader, now: datetime) -> tuple[Quote, ...]:
        """Return the quotes of a card; () when there are none."""
        card_id = provider_ids.tcgdex_id(card)
        answer = await get(ProviderRequest(path=f"/cards/{quote(card_id, safe='')}"))
        return read_quotes(answer.value, card_id, now)


def read_quotes(answer: object, card_id: str, now: datetime) -> tuple[Quote, ...]:
    """Read the quotes of a card from a decoded answer; () when there are none.

    Cardmarket's prices (EUR) count only without TCGplayer's (USD). Variants with unknown names are
    skipped, because the provider adds new ones.

    Raises:
        ImplausibleAnswer: the answer is about another card, or a figure, date or currency cannot be
            right.
    """
    card = as_mapping(answer, "the answer")
    if card.get("id") != card_id:
        raise ImplausibleAnswer(
            "wrong-card", f"asked for {card_id!r}, answered about {str(card.get('id'))[:80]!r}"
        )
    pricing = card.get("pricing")
    if pricing is None:
        return ()
    providers = as_mapping(pricing, "pricing")
    quotes: tuple[Quote, ...] = ()
    if (block := providers.get("tcgplayer")) is not None:
        quotes = _tcgplayer(as_mapping(block, "tcgplayer"), now)
    if not quotes and (block := providers.get("cardmarket")) is not None:
        quotes = _cardmarket(as_mapping(block, "cardmarket"), card.get("variants"), now)
    return quotes


def _tcgplayer(block: Mapping[object, object], now: datetime) -> tuple[Quote, ...]:
    return tuple(
        _quote(block, "tcgplayer", now, kind, priced)
        for kind, priced in tcgplayer_prices(block, _TCGPLAYER)
    )


def _cardmarket(
    block: Mapping[object, object], variants: object, now: datetime
) -> tuple[Quote, ...]:
    """Read Cardmarket's two columns; the card's printed variants say which finishes they mean.

    A card that exists only as a holo has its price in the plain column, and old figures or none in
    the other.
    """
    printed = variants if isinstance(variants, Mapping) else {}
    plain, foil = "", ""
    if printed.get("normal") is True:
        plain = Finish.NORMAL.value
        foil = Finish.REVERSE_HOLO.value if printed.get("reverse") is True else Finish.HOLO.value
    elif printed.get("holo") is True:
        plain = Finish.HOLO.value
        foil = Finish.REVERSE_HOLO.value if printed.get("reverse") is True else ""
    found = []
    if (priced := first_price(block, _CARDMARKET)) is not None:
        found.append(_quote(block, "cardmarket", now, (plain, ""), priced))
    foils = tuple((basis, f"{field}-holo") for basis, field in _CARDMARKET)
    if foil and (priced := first_price(block, foils)) is not None:
        found.append(_quote(block, "cardmarket", now, (foil, ""), priced))
    return tuple(found)


def _quote(
    block: Mapping[object, object],
    market: str,
    now: datetime,
    kind: tuple[str, str],
    priced: tuple[str, int],
) -> Quote:
    currency = _CURRENCIES[market]
    if block.get("unit") != currency:
        raise ImplausibleAnswer(
            "currency", f"{market} is in {str(block.get('unit'))[:20]!r}, expected {currency}"
        )
    finish, edition = kind
    basis, minor = priced
    return Quote(
        finish=finish,
        edition=edition,
        source=f"tcgdex/{market}",
        basis=basis,
        minor=minor,
        currency=currency,
        as_of=parse_date(block.get("updated"), now),
    )
