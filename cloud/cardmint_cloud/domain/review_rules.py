"""When the cloud asks for a person's look at a card that a station counted, and why."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from uuid import UUID

from cardmint_cloud.domain.quotes import Quote
from cardmint_contracts.reasons import Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewRules:
    """The rules as a shop sets them.

    A rule whose figure is 0 is off; amounts are minor units of any currency.

    `held` are the reasons for which a card is not counted until somebody looked.
    """

    version: str
    low_confidence: float
    small_margin: float
    high_value: int
    spread: float
    duplicates: bool
    audit: float
    held: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class CountedCard:
    """What is known of a counted card.

    `quotes` are what is believed of its printing; empty kinds are left open.
    """

    scan: UUID
    confidence: float
    margin: float
    finish: str
    edition: str
    duplicate: bool
    quotes: Sequence[Quote]


def review_reasons(rules: ReviewRules, card: CountedCard) -> tuple[str, ...]:
    """Return why a person should look at a counted card; () when there is no reason.

    A finish or edition that was left open is asked for when the kinds that the card may be of
    differ by `spread` times.
    """
    found = {
        Reason.LOW_CONFIDENCE: card.confidence < rules.low_confidence,
        Reason.SMALL_MARGIN: card.margin < rules.small_margin,
        Reason.POSSIBLE_DUPLICATE: rules.duplicates and card.duplicate,
        Reason.HIGH_VALUE: bool(rules.high_value) and _least_price(card) >= rules.high_value,
        Reason.FINISH_NEEDED: not card.finish
        and _spread_reached([(q.finish, q) for q in card.quotes], rules.spread),
        Reason.EDITION_NEEDED: not card.edition
        and _spread_reached(
            [(q.edition or "unlimited", q) for q in card.quotes if _fits(q, card)], rules.spread
        ),
    }
    return tuple(reason for reason, holds in found.items() if holds)


def drawn_for_audit(rules: ReviewRules, scan: UUID) -> bool:
    """Whether a card is among those that are looked at by chance.

    A part of all, decided by the scan's identifier.
    """
    draw = int.from_bytes(hashlib.sha256(b"audit" + scan.bytes).digest()[:8]) / 2**64
    return draw < rules.audit


def _fits(quote: Quote, card: CountedCard) -> bool:
    return card.finish in {"", quote.finish}


def _least_price(card: CountedCard) -> int:
    """Return the least that a card may be worth: what it is certainly."""
    prices = [
        q.minor
        for q in card.quotes
        if not q.grade and _fits(q, card) and card.edition in {"", q.edition}
    ]
    return min(prices, default=0)


def _spread_reached(kinds: Sequence[tuple[str, Quote]], spread: float) -> bool:
    """Whether the cheapest quotes of kinds differ by `spread` times and more."""
    least: dict[str, int] = {}
    for kind, quote in kinds:
        if not quote.grade:
            least[kind] = min(quote.minor, least.get(kind, quote.minor))
    return spread > 0 and len(least) > 1 and max(least.values()) >= spread * min(least.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPrecision:
    """How many of the audited cards had been counted rightly, by what decided so, with Wilson's bounds (95 %)."""

    recogniser: str
    audited: int
    right: int
    low: float
    high: float


def measure_precision(recogniser: str, right: int, audited: int) -> AuditPrecision:
    """Return the measured share of right ones with its interval, after Wilson (1927)."""
    if not audited:
        return AuditPrecision(recogniser=recogniser, audited=0, right=0, low=0.0, high=1.0)
    z = 1.959964
    share = right / audited
    middle = share + z * z / (2 * audited)
    spread = z * sqrt(share * (1 - share) / audited + z * z / (4 * audited * audited))
    scale = 1 + z * z / audited
    return AuditPrecision(
        recogniser=recogniser,
        audited=audited,
        right=right,
        low=max(0.0, (middle - spread) / scale),
        high=min(1.0, (middle + spread) / scale),
    )
