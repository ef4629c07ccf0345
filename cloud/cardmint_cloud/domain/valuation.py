"""The value of cards at a moment: counts and the quotes known then, each currency apart."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cardmint_cloud.domain.quotes import Quote, describe_prices


@dataclass(frozen=True, kw_only=True, slots=True)
class ValuedLine:
    """A number of cards of one printing with one description; empty means left open."""

    card_id: str
    finish: str
    edition: str
    lot: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CurrencySum:
    """The value of cards in one currency.

    `oldest` is the date of its oldest price; `lowest` marks a sum with lowest prices in it.
    """

    currency: str
    cards: int
    minor: int
    lowest: bool
    oldest: datetime
    sources: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Valuation:
    """The value of cards: a sum for each currency, and the number of cards without a price."""

    cards: int
    unpriced: int
    sums: tuple[CurrencySum, ...]


def quotes_known_at(quotes: Iterable[tuple[Quote, datetime]], at: datetime) -> tuple[Quote, ...]:
    """Return the quotes of a card that were known at a moment, of the newest one's currency.

    `quotes` are the history, the oldest first, each with the moment at which it was fetched.
    """
    newest: dict[tuple[str, str, str], Quote] = {}
    currency = ""
    for quote, fetched_at in quotes:
        if fetched_at <= at:
            newest[quote.kind] = quote
            currency = quote.currency
    return tuple(quote for quote in newest.values() if quote.currency == currency)


def value_lines(lines: Sequence[ValuedLine], quotes: Mapping[str, Sequence[Quote]]) -> Valuation:
    """Return the value of `lines` by the known quotes of each card."""
    prices = {
        card_id: {(quote.finish, quote.edition): quote for quote in describe_prices(known)}
        for card_id, known in quotes.items()
    }
    priced: dict[str, list[tuple[ValuedLine, Quote]]] = {}
    unpriced = 0
    for line in lines:
        quote = prices.get(line.card_id, {}).get((line.finish, line.edition))
        if quote is None:
            unpriced += line.count
        else:
            priced.setdefault(quote.currency, []).append((line, quote))
    return Valuation(
        cards=sum(line.count for line in lines),
        unpriced=unpriced,
        sums=tuple(
            _sum(currency, found) for currency, found in sorted(priced.items(), reverse=True)
        ),
    )


def _sum(currency: str, found: Sequence[tuple[ValuedLine, Quote]]) -> CurrencySum:
    sources: Counter[str] = Counter()
    for line, quote in found:
        sources[quote.source] += line.count
    return CurrencySum(
        currency=currency,
        cards=sum(line.count for line, _ in found),
        minor=sum(line.count * quote.minor for line, quote in found),
        lowest=any(quote.lowest for _, quote in found),
        oldest=min(quote.as_of for _, quote in found),
        sources=dict(sources.most_common()),
    )
