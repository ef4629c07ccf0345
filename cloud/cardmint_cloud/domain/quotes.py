"""What a provider says a card is worth, read with suspicion into integer minor units."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from cardmint_contracts.cards import Edition, Finish

MAX_MINOR = 1_000_000_000
"""The most that one card is believed to cost: ten million in the currency's major unit."""

_OPEN = ""
_CURRENCIES = {"tcgplayer": "USD", "cardmarket": "EUR"}


class Refused(ValueError):
    """An answer that is not to be believed; `reason` is the code to record it under."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Quote:
    """A price for one finish and edition, in minor units (cents); empty means left open.

    `basis` says which of the provider's figures it is. `lowest` marks a price that is the least of several printings
    that the description leaves open.
    """

    finish: str
    edition: str
    source: str
    basis: str
    minor: int
    currency: str
    as_of: datetime
    lowest: bool = False


_TCGPLAYER = {
    "normal": (Finish.NORMAL, _OPEN),
    "holofoil": (Finish.HOLO, _OPEN),
    "holo": (Finish.HOLO, _OPEN),
    "reverse": (Finish.REVERSE_HOLO, _OPEN),
    "reverseholofoil": (Finish.REVERSE_HOLO, _OPEN),
    "reverseholo": (Finish.REVERSE_HOLO, _OPEN),
    "unlimited": (Finish.NORMAL, Edition.UNLIMITED),
    "unlimitednormal": (Finish.NORMAL, Edition.UNLIMITED),
    "unlimitedholofoil": (Finish.HOLO, Edition.UNLIMITED),
    "unlimitedholo": (Finish.HOLO, Edition.UNLIMITED),
    "1stedition": (Finish.NORMAL, Edition.FIRST),
    "1steditionnormal": (Finish.NORMAL, Edition.FIRST),
    "1steditionholofoil": (Finish.HOLO, Edition.FIRST),
    "1steditionholo": (Finish.HOLO, Edition.FIRST),
}
"""TCGdex's names for TCGplayer's variants without hyphens; its reference, samples and SDK spell them differently."""

_TCGPLAYER_FIGURES = (
    *(("market", "marketPrice"), ("mid", "midPrice"), ("low", "lowPrice")),
    *(("direct low", "directLowPrice"), ("high", "highPrice")),
)
_CARDMARKET_FIGURES = (("trend", "trend"), ("average", "avg"), ("30-day average", "avg30"), ("low", "low"))


def from_tcgdex(answer: object, card_id: str, now: datetime) -> tuple[Quote, ...]:
    """Read TCGdex's answer for a card, decoded with its decimal fractions as `Decimal`; () when it quotes none.

    TCGplayer's prices (USD) are taken, and Cardmarket's (EUR) only when there are none. Variants with names that are
    not known are passed over: the provider adds to them.

    Raises:
        Refused: the answer is about another card, or has a figure, date or currency that cannot be right.
    """
    card = _mapping(answer, "the answer")
    if card.get("id") != card_id:
        raise Refused("wrong-card", f"asked for {card_id!r}, answered about {str(card.get('id'))[:80]!r}")
    pricing = card.get("pricing")
    if pricing is None:
        return ()
    providers = _mapping(pricing, "pricing")
    quotes: tuple[Quote, ...] = ()
    if (block := providers.get("tcgplayer")) is not None:
        quotes = _tcgplayer(_mapping(block, "tcgplayer"), now)
    if not quotes and (block := providers.get("cardmarket")) is not None:
        quotes = _cardmarket(_mapping(block, "cardmarket"), card.get("variants"), now)
    return quotes


def described(quotes: Iterable[Quote]) -> tuple[Quote, ...]:
    """Return a price for each way in which a holding may describe the card: finish and edition named, or left open.

    What is left open takes the lowest price of what it may be, and says so. An edition that the provider does not name
    is taken for the unlimited one.
    """
    known = tuple(quotes)
    lines = (
        _line(known, finish, edition)
        for finish in (_OPEN, *(finish.value for finish in Finish))
        for edition in (_OPEN, *(edition.value for edition in Edition))
    )
    return tuple(line for line in lines if line is not None)


def _line(quotes: tuple[Quote, ...], finish: str, edition: str) -> Quote | None:
    fitting = [quote for quote in quotes if finish in {_OPEN, quote.finish} and edition in {_OPEN, quote.edition}]
    if not fitting and edition == Edition.UNLIMITED:
        fitting = [quote for quote in quotes if finish in {_OPEN, quote.finish} and quote.edition == _OPEN]
    if not fitting:
        return None
    least = min(fitting, key=lambda quote: quote.minor)
    return replace(least, finish=finish, edition=edition, lowest=finish == _OPEN or len(fitting) > 1)


def _tcgplayer(block: Mapping[object, object], now: datetime) -> tuple[Quote, ...]:
    found: dict[tuple[str, str], Quote] = {}
    for name, figures in block.items():
        variant = _TCGPLAYER.get(str(name).replace("-", "").replace("_", "").lower())
        if variant is None or figures is None:
            continue
        finish, edition = str(variant[0]), str(variant[1])
        priced = _first(_mapping(figures, f"tcgplayer.{name}"), _TCGPLAYER_FIGURES)
        if priced is not None and (finish, edition) not in found:
            found[finish, edition] = _quote(block, "tcgplayer", now, (finish, edition), priced)
    return tuple(found.values())


def _cardmarket(block: Mapping[object, object], variants: object, now: datetime) -> tuple[Quote, ...]:
    """Read Cardmarket's two columns. Which finishes they mean follows from which the card was printed in.

    A card that exists only as a holo has its price in the plain column, and nothing or old figures in the other.
    """
    printed = variants if isinstance(variants, Mapping) else {}
    plain, foil = _OPEN, ""
    if printed.get("normal") is True:
        plain = Finish.NORMAL.value
        foil = Finish.REVERSE_HOLO.value if printed.get("reverse") is True else Finish.HOLO.value
    elif printed.get("holo") is True:
        plain = Finish.HOLO.value
        foil = Finish.REVERSE_HOLO.value if printed.get("reverse") is True else ""
    found = []
    if (priced := _first(block, _CARDMARKET_FIGURES)) is not None:
        found.append(_quote(block, "cardmarket", now, (plain, _OPEN), priced))
    foils = tuple((basis, f"{field}-holo") for basis, field in _CARDMARKET_FIGURES)
    if foil and (priced := _first(block, foils)) is not None:
        found.append(_quote(block, "cardmarket", now, (foil, _OPEN), priced))
    return tuple(found)


def _quote(
    block: Mapping[object, object], market: str, now: datetime, described_as: tuple[str, str], priced: tuple[str, int]
) -> Quote:
    currency = _CURRENCIES[market]
    if block.get("unit") != currency:
        raise Refused("currency", f"{market} is in {str(block.get('unit'))[:20]!r}, expected {currency}")
    finish, edition = described_as
    basis, minor = priced
    return Quote(
        finish=finish,
        edition=edition,
        source=f"tcgdex/{market}",
        basis=basis,
        minor=minor,
        currency=currency,
        as_of=_as_of(block.get("updated"), now),
    )


def _first(figures: Mapping[object, object], names: Iterable[tuple[str, str]]) -> tuple[str, int] | None:
    for basis, name in names:
        minor = _minor(figures.get(name), name)
        if minor:
            return basis, minor
    return None


def _minor(figure: object, name: str) -> int:
    """Return a figure in minor units; 0 when there is none, because nothing costs nothing."""
    if figure is None:
        return 0
    if isinstance(figure, bool) or not isinstance(figure, int | Decimal):
        raise Refused("wrong-type", f"{name} is {type(figure).__name__}, not a number")
    amount = Decimal(figure)
    if not amount.is_finite():
        raise Refused("not-finite", f"{name} is {amount}")
    if amount < 0:
        raise Refused("negative", f"{name} is below zero")
    if amount > MAX_MINOR // 100:
        raise Refused("too-large", f"{name} is above {MAX_MINOR // 100:,}")
    return int(amount.scaleb(2).to_integral_value(ROUND_HALF_UP))


def _as_of(text: object, now: datetime) -> datetime:
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        moment = moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment > now + timedelta(days=1):
        raise Refused("date", f"updated is {str(text)[:40]!r}")
    return min(moment, now)


def _mapping(value: object, what: str) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        raise Refused("wrong-type", f"{what} is {type(value).__name__}, not an object")
    return value
