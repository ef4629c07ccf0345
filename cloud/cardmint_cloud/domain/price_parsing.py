"""Figures, dates and variant names as providers write them, checked. No float holds money."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from cardmint_contracts.cards import Edition, Finish

MAX_MINOR = 1_000_000_000
"""Highest price of one card that is accepted: ten million in the major unit."""

_PLAIN = re.compile(r"\d{1,15}(\.\d{1,6})?\Z", re.ASCII)
_FINISHES = {
    "": "",
    "normal": Finish.NORMAL,
    "holofoil": Finish.HOLO,
    "holo": Finish.HOLO,
    "reverse": Finish.REVERSE_HOLO,
    "reverseholofoil": Finish.REVERSE_HOLO,
    "reverseholo": Finish.REVERSE_HOLO,
}
_EDITIONS = {
    "1stedition": Edition.FIRST,
    "firstedition": Edition.FIRST,
    "unlimited": Edition.UNLIMITED,
}


class ImplausibleAnswer(ValueError):
    """An answer that cannot be right. `reason` is the code under which it is recorded."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_variant(name: str) -> tuple[str, str] | None:
    """Return the finish and edition of a provider's variant name, in any spelling; None if unknown.

    An edition without a finish means the normal finish.
    """
    text = "".join(character for character in name.lower() if character.isalnum())
    for prefix, edition in _EDITIONS.items():
        if (
            text.startswith(prefix)
            and (finish := _FINISHES.get(text.removeprefix(prefix))) is not None
        ):
            return str(finish or Finish.NORMAL), str(edition)
    finish = _FINISHES.get(text) if text else None
    return None if finish is None else (str(finish), "")


def first_price(
    figures: Mapping[object, object], names: Iterable[tuple[str, str]]
) -> tuple[str, int] | None:
    """Return the first of the named figures that is a price, as (basis, minor units).

    `names` are pairs of basis and field.
    """
    for basis, name in names:
        if amount := parse_minor(figures.get(name), name):
            return basis, amount
    return None


def tcgplayer_prices(
    prices: Mapping[object, object], names: tuple[tuple[str, str], ...]
) -> Iterator[tuple[tuple[str, str], tuple[str, int]]]:
    """Yield (finish, edition) and the first price of each of TCGplayer's priced variants.

    When two names mean one variant, the first counts.

    Raises:
        ImplausibleAnswer: a figure cannot be a price.
    """
    found = set()
    for name, figures in prices.items():
        kind = parse_variant(str(name))
        if kind is None or figures is None:
            continue
        priced = first_price(as_mapping(figures, f"tcgplayer.{name}"), names)
        if priced is not None and kind not in found:
            found.add(kind)
            yield kind, priced


def parse_minor(figure: object, name: str) -> int:
    """Return a figure in major units as minor units; 0 for none.

    Raises:
        ImplausibleAnswer: it is not a number, or not a possible price.
    """
    return _bounded(_amount(figure, name) * 100, name)


def parse_pennies(figure: object, name: str) -> int:
    """Return a figure that is in minor units already; 0 for none.

    Raises:
        ImplausibleAnswer: it is not a whole number, or not a possible price.
    """
    amount = _amount(figure, name)
    if amount != amount.to_integral_value():
        raise ImplausibleAnswer("wrong-type", f"{name} is {str(amount)[:40]}, not whole pennies")
    return _bounded(amount, name)


def _amount(figure: object, name: str) -> Decimal:
    if figure is None:
        return Decimal(0)
    if isinstance(figure, str) and _PLAIN.match(figure):
        figure = Decimal(figure)
    if isinstance(figure, bool) or not isinstance(figure, int | Decimal):
        shown = f" {figure[:40]!r}" if isinstance(figure, str) else ""
        raise ImplausibleAnswer(
            "wrong-type", f"{name} is {type(figure).__name__}{shown}, not a number"
        )
    amount = Decimal(figure)
    if not amount.is_finite():
        raise ImplausibleAnswer("not-finite", f"{name} is {amount}")
    if amount < 0:
        raise ImplausibleAnswer("negative", f"{name} is below zero")
    if amount > MAX_MINOR:
        raise _too_large(name)
    return amount


def _bounded(amount: Decimal, name: str) -> int:
    if amount > MAX_MINOR:
        raise _too_large(name)
    return int(amount.to_integral_value(ROUND_HALF_UP))


def _too_large(name: str) -> ImplausibleAnswer:
    return ImplausibleAnswer("too-large", f"{name} is above {MAX_MINOR // 100:,}")


def parse_date(text: object, now: datetime) -> datetime:
    """Return the date of a figure, at most `now`; `now` when the provider gives none.

    Raises:
        ImplausibleAnswer: it is not a date, or lies in the future.
    """
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text.replace("/", "-")) if isinstance(text, str) else None
        moment = moment and (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(
            UTC
        )
    except (ValueError, OverflowError):
        moment = None
    if moment is None or moment > now + timedelta(days=1):
        raise ImplausibleAnswer("date", f"updated is {str(text)[:40]!r}")
    return min(moment, now)


def as_mapping(value: object, what: str) -> Mapping[object, object]:
    """Return a JSON object.

    Raises:
        ImplausibleAnswer: it is something else.
    """
    if not isinstance(value, Mapping):
        raise ImplausibleAnswer("wrong-type", f"{what} is {type(value).__name__}, not an object")
    return value


def as_list(value: object, what: str) -> list[object]:
    """Return a JSON array.

    Raises:
        ImplausibleAnswer: it is something else.
    """
    if not isinstance(value, list):
        raise ImplausibleAnswer("wrong-type", f"{what} is {type(value).__name__}, not an array")
    return value
