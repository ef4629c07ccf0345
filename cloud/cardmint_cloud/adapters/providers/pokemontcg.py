"""PokemonTCG.io v2: one card a call, with TCGplayer's dollars or Cardmarket's euros.

The catalogue's identifiers are this provider's own. With a key 20,000 calls a day are allowed,
without one 1,000 a day and 30 a minute. Users reported that every request with a key got a 500, so
the key is left out after one.
"""

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from cardmint_cloud.adapters.providers.http import AnswerLoader, ProviderRequest
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

_TCGPLAYER = (
    *(("market", "market"), ("mid", "mid"), ("low", "low")),
    *(("direct low", "directLow"), ("high", "high")),
)
_PLAIN = (
    *(("trend", "trendPrice"), ("average", "averageSellPrice")),
    *(("30-day average", "avg30"), ("low", "lowPrice")),
)
_REVERSE = (
    *(("trend", "reverseHoloTrend"), ("average", "reverseHoloSell")),
    *(("30-day average", "reverseHoloAvg30"), ("low", "reverseHoloLow")),
)


class PokemonTcg:
    """The provider, with a key or without."""

    name = "pokemontcg"

    def __init__(self, key: str = "") -> None:
        self._secret = {"x-api-key": key} if key else {}
        self.rate = (
            RateLimit(per_s=2, burst=10, per_day=20_000)
            if key
            else RateLimit(per_s=0.5, burst=5, per_day=1_000)
        )

    async def quotes(self, card: Card, get: AnswerLoader, now: datetime) -> tuple[Quote, ...]:
        """Return the quotes of a card; () when there are none."""
        path = f"/cards/{quote(card.id, safe='')}"
        answer = await get(ProviderRequest(path=path, secret_headers=self._secret, optional=True))
        return read_quotes(answer.value, card.id, now)


def read_quotes(answer: object, card_id: str, now: datetime) -> tuple[Quote, ...]:
    """Read the quotes of a card from a decoded answer; () when there are none.

    Raises:
        ImplausibleAnswer: the answer is about another card, or a figure or date cannot be right.
    """
    card = as_mapping(as_mapping(answer, "the answer").get("data"), "data")
    if card.get("id") != card_id:
        raise ImplausibleAnswer(
            "wrong-card", f"asked for {card_id!r}, answered about {str(card.get('id'))[:80]!r}"
        )
    dollars = _tcgplayer(card.get("tcgplayer"), now)
    return dollars or _cardmarket(card.get("cardmarket"), card.get("rarity"), now)


def _tcgplayer(value: object, now: datetime) -> tuple[Quote, ...]:
    block, prices = _block(value, "tcgplayer")
    return tuple(
        _quote("tcgplayer", "USD", kind, priced, parse_date(block.get("updatedAt"), now))
        for kind, priced in tcgplayer_prices(prices, _TCGPLAYER)
    )


def _cardmarket(value: object, rarity: object, now: datetime) -> tuple[Quote, ...]:
    """Read Cardmarket's figures. The rarity says which finish the plain column means."""
    block, prices = _block(value, "cardmarket")
    found = []
    plain = Finish.HOLO.value if "Holo" in str(rarity) else ""
    if (priced := first_price(prices, _PLAIN)) is not None:
        found.append(
            _quote(
                "cardmarket", "EUR", (plain, ""), priced, parse_date(block.get("updatedAt"), now)
            )
        )
    if (priced := first_price(prices, _REVERSE)) is not None:
        kind = (Finish.REVERSE_HOLO.value, "")
        found.append(
            _quote("cardmarket", "EUR", kind, priced, parse_date(block.get("updatedAt"), now))
        )
    return tuple(found)


def _block(value: object, market: str) -> tuple[Mapping[object, object], Mapping[object, object]]:
    block = as_mapping({} if value is None else value, market)
    prices = block.get("prices")
    return block, as_mapping({} if prices is None else prices, f"{market}.prices")


def _quote(
    market: str, currency: str, kind: tuple[str, str], priced: tuple[str, int], moment: datetime
) -> Quote:
    return Quote(
        finish=kind[0],
        edition=kind[1],
        source=f"pokemontcg/{market}",
        basis=priced[0],
        minor=priced[1],
        currency=currency,
        as_of=moment,
    )
