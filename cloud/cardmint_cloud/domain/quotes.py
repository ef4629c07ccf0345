"""Quotes: prices of one finish, edition and grade each, and those that are held back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cardmint_contracts.cards import Edition, Finish

FAR = 5
"""A quote over so many times the known price, or below that fraction of it, is held back."""

_OPEN = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quote:
    """A price for one finish, edition and grade, in minor units (cents).

    Empty finish and edition mean left open; an empty grade means not graded. `basis` names the
    provider's figure. `lowest` marks the least of several prices that the description leaves open.
    """

    finish: str
    edition: str
    source: str
    basis: str
    minor: int
    currency: str
    as_of: datetime
    grade: str = ""
    lowest: bool = False

    @property
    def kind(self) -> tuple[str, str, str]:
        """Finish, edition and grade. Quotes of different kinds are never compared or added."""
        return (self.finish, self.edition, self.grade)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldQuote:
    """A quote that is too far from another, `against`, to count without a person."""

    quote: Quote
    against: Quote


def describe_prices(quotes: Iterable[Quote]) -> tuple[Quote, ...]:
    """Return a price for each description of a holding: finish and edition named or left open.

    A description that leaves something open gets the lowest price that fits and is marked `lowest`.
    A quote without an edition counts as unlimited. Graded quotes are left out. All `quotes` must be
    in one currency.
    """
    known = tuple(quote for quote in quotes if not quote.grade)
    lines = (
        _description_price(known, finish, edition)
        for finish in (_OPEN, *(finish.value for finish in Finish))
        for edition in (_OPEN, *(edition.value for edition in Edition))
    )
    return tuple(line for line in lines if line is not None)


def _description_price(quotes: tuple[Quote, ...], finish: str, edition: str) -> Quote | None:
    fitting = [
        quote
        for quote in quotes
        if finish in {_OPEN, quote.finish} and edition in {_OPEN, quote.edition}
    ]
    if not fitting and edition == Edition.UNLIMITED:
        fitting = [
            quote for quote in quotes if finish in {_OPEN, quote.finish} and quote.edition == _OPEN
        ]
    if not fitting:
        return None
    least = min(fitting, key=lambda quote: quote.minor)
    return replace(
        least, finish=finish, edition=edition, lowest=finish == _OPEN or len(fitting) > 1
    )


def split_believable(
    said: Iterable[Quote], known: Iterable[Quote], *, far: int = FAR
) -> tuple[tuple[Quote, ...], tuple[HeldQuote, ...]]:
    """Split a provider's quotes into those that count and those that are held back.

    `known` are the last quotes of every source. A quote is held back when it is more than `far`
    times, or less than that fraction of, the newest known quote of its kind and currency, or one of
    another source dated within the last week.
    """
    by_kind: dict[tuple[tuple[str, str, str], str], list[Quote]] = {}
    for quote in known:
        by_kind.setdefault((quote.kind, quote.currency), []).append(quote)
    taken: list[Quote] = []
    held: list[HeldQuote] = []
    for quote in said:
        others = sorted(
            by_kind.get((quote.kind, quote.currency), ()), key=lambda other: other.as_of
        )
        doubted = next(
            (
                other
                for other in _comparable_quotes(quote, others)
                if _far_apart(quote.minor, other.minor, far)
            ),
            None,
        )
        if doubted is None:
            taken.append(quote)
        else:
            held.append(HeldQuote(quote=quote, against=doubted))
    return tuple(taken), tuple(held)


def _comparable_quotes(quote: Quote, others: list[Quote]) -> list[Quote]:
    """Return the quotes to compare with: the newest, and recent ones of other sources."""
    recent = [
        other
        for other in others[:-1]
        if other.source != quote.source and (quote.as_of - other.as_of).days < 7
    ]
    return [*others[-1:], *recent]


def _far_apart(one: int, other: int, far: int) -> bool:
    return one > other * far or one * far < other


def merge_current(
    taken: Iterable[Quote], held: Iterable[HeldQuote], known: Iterable[Quote]
) -> tuple[Quote, ...]:
    """Return a card's current quotes by kind.

    They are the `taken` quotes, and the last known one where a quote is held back, if it has the
    same currency: currencies are never mixed.
    """
    now = {quote.kind: quote for quote in taken}
    currencies = {quote.currency for quote in now.values()} or {one.quote.currency for one in held}
    newest: Mapping[tuple[str, str, str], Quote] = {
        quote.kind: quote for quote in sorted(known, key=lambda quote: quote.as_of)
    }
    for one in held:
        last = newest.get(one.quote.kind)
        if last is not None and last.currency in currencies:
            now.setdefault(last.kind, last)
    return tuple(now.values())
