"""Price histories as the points of a small chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WIDTH, HEIGHT = 640, 160
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 12, 12


@dataclass(frozen=True, kw_only=True, slots=True)
class ChartLine:
    """One kind of price in one currency.

    `points` are those of an SVG polyline, `end` is the position of its last price.
    """

    finish: str
    edition: str
    grade: str
    currency: str
    points: str
    end: tuple[float, float]
    minor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Lines of one currency on common axes.

    Prices in minor units from `low` to `high`, times from `start` to `end`.
    """

    currency: str
    low: int
    high: int
    start: datetime
    end: datetime
    lines: tuple[ChartLine, ...]


def charts(quotes: Sequence[Any], now: datetime) -> tuple[Chart, ...]:
    """Return a chart for each currency, and separate charts for graded prices.

    A price lasts from its fetching until the next one, the last price until now.
    """
    by_axes: dict[tuple[bool, str], list[Any]] = {}
    for quote in sorted(quotes, key=lambda quote: quote["fetched_at"]):
        by_axes.setdefault((not quote["grade"], quote["currency"]), []).append(quote)
    return tuple(
        _chart(currency, found, now)
        for (_, currency), found in sorted(by_axes.items(), reverse=True)
    )


def _chart(currency: str, quotes: Sequence[Any], now: datetime) -> Chart:
    start, end = quotes[0]["fetched_at"], max(now, quotes[-1]["fetched_at"])
    low, high = min(quote["minor"] for quote in quotes), max(quote["minor"] for quote in quotes)
    span = (end - start).total_seconds() or 1.0

    def x(moment: datetime) -> float:
        across: float = (moment - start).total_seconds() / span
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * across, 1)

    def y(minor: int) -> float:
        share = (minor - low) / (high - low) if high > low else 0.5
        return round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share, 1)

    by_line: dict[tuple[str, str, str], list[Any]] = {}
    for quote in quotes:
        by_line.setdefault((quote["finish"], quote["edition"], quote["grade"]), []).append(quote)
    lines = []
    for (finish, edition, grade), found in sorted(by_line.items()):
        points: list[tuple[float, float]] = []
        for quote in found:
            at = x(quote["fetched_at"])
            if points:
                points.append((at, points[-1][1]))
            points.append((at, y(quote["minor"])))
        points.append((x(end), points[-1][1]))
        lines.append(
            ChartLine(
                finish=finish,
                edition=edition,
                grade=grade,
                currency=currency,
                points=" ".join(f"{px},{py}" for px, py in points),
                end=points[-1],
                minor=found[-1]["minor"],
            )
        )
    return Chart(currency=currency, low=low, high=high, start=start, end=end, lines=tuple(lines))
