"""What a marketplace has on sale beside what is in stock, and what it must be told."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cardmint_contracts.cards import Edition, Money

LEAST_MINOR = 1
"""The lowest price of a listing, in the currency's minor units: 0.01."""


class Sort(NamedTuple):
    """What cards have in common that a marketplace sells as one listing."""

    card_id: str
    language: str
    finish: str
    edition: str
    condition: str

    @property
    def open(self) -> str:
        """The first value that is left open; empty if none is."""
        names = ("language", "finish", "condition")
        return next((name for name in names if not getattr(self, name)), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A product on sale: whose cards, how many are listed, and the seller's price if any."""

    sku: str
    sort: Sort
    listed: int
    price: Money | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What a marketplace is told of one listing: so many more, or fewer, at a price."""

    sku: str
    listed: int
    delta: int
    price: Money


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A listing of which a marketplace has another number than there are in stock."""

    sku: str
    sort: Sort
    listed: int
    stock: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Where stock and listings differ, and how many cards cannot be compared, by reason."""

    differences: tuple[Difference, ...]
    prices: Mapping[str, Money]
    left_out: Counter[str]


def compared(
    listings: Sequence[Listing],
    stock: Mapping[Sort, int],
    *,
    unsure: Collection[str],
    prices: Mapping[Sort, Money],
    graded: int,
) -> Comparison:
    """Compare the stock with a marketplace's listings.

    `unsure` are listings of which cards were sold since their number was seen: whether that number
    is before or after the sale, nobody knows. `prices` are used where the seller has none.
    """
    left_out: Counter[str] = Counter({"graded cards": graded} if graded else {})
    by_sort: dict[Sort, list[Listing]] = {}
    for one in listings:
        by_sort.setdefault(one.sort, []).append(one)
    have: dict[Sort, int] = {}
    for sort, count in stock.items():
        place = _listed_as(sort, by_sort)
        if place is not None:
            have[place] = have.get(place, 0) + count
        elif sort.open or any(sort._replace(edition=one) in by_sort for one in Edition):
            left_out[f"{sort.open or 'edition'} is open"] += count
        else:
            left_out["no known product: import a file of the marketplace that has it"] += count
    differences: list[Difference] = []
    chosen: dict[str, Money] = {}
    for sort, same in by_sort.items():
        count, first = have.get(sort, 0), same[0]
        if len(same) > 1:
            numbers = ", ".join(sorted(one.sku for one in same)[:3])
            left_out[f"several products for the same cards: {numbers}"] += max(count, 1)
        elif count == first.listed:
            continue
        elif first.sku in unsure:
            left_out["sold since the last file of the marketplace: import a new one"] += max(
                count, first.listed
            )
        else:
            price = first.price or prices.get(sort)
            if price is not None and price.minor >= LEAST_MINOR:
                chosen[first.sku] = price
            differences.append(
                Difference(sku=first.sku, sort=sort, listed=first.listed, stock=count)
            )
    return Comparison(differences=tuple(differences), prices=chosen, left_out=left_out)


def offers(comparison: Comparison) -> tuple[list[Offer], Counter[str]]:
    """Return what a marketplace is told, and how many cards are left out, by reason."""
    told: list[Offer] = []
    left_out = Counter(comparison.left_out)
    for one in comparison.differences:
        price = comparison.prices.get(one.sku)
        if price is None:
            left_out["no price of at least 0.01"] += max(one.stock, one.listed)
        else:
            told.append(
                Offer(sku=one.sku, listed=one.listed, delta=one.stock - one.listed, price=price)
            )
    return told, left_out


def _listed_as(sort: Sort, listings: Collection[Sort]) -> Sort | None:
    """Return the sort under which cards are listed: a set of one print run names no edition."""
    if sort in listings:
        return sort
    plain = sort._replace(edition="")
    return plain if sort.edition == Edition.UNLIMITED and plain in listings else None
