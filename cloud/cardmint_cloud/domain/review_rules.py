"""The rules by which the cloud asks a person about a counted card."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from uuid import UUID

from cardmint_cloud.domain.quotes import Quote
from cardmint_contracts.reasons import Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewRules:
    """A shop's rules. A figure of 0 turns its rule off; amounts are minor units of any currency.

    Cards with a reason in `held` are not counted until a person has answered.
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
    """A counted card with the current `quotes` of its printing.

    An empty finish or edition is left open.
    """

    scan: UUID
    confidence: float
    margin: float
    finish: str
    edition: str
    duplicate: bool
    quotes: Sequence[Quote]


def review_reasons(rules: ReviewRules, card: CountedCard) -> tuple[str, ...]:
    """Return the reason codes for which a person should check a card; () for none.

    An open finish or edition is asked for when the prices of the possible kinds differ by `spread`
    times.
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
    """Whether a card is in the random audit. The scan's identifier decides, so that folds agree."""
    draw = int.from_bytes(hashlib.sha256(b"audit" + scan.bytes).digest()[:8]) / 2**64
    return draw < rules.audit


def _fits(quote: Quote, card: CountedCard) -> bool:
    return card.finish in {"", quote.finish}


def _least_price(card: CountedCard) -> int:
    """Return the lowest price that the card may have."""
    prices = [
        q.minor
        for q in card.quotes
        if not q.grade and _fits(q, card) and card.edition in {"", q.edition}
    ]
    return min(prices, default=0)


def _spread_reached(kinds: Sequence[tuple[str, Quote]], spread: float) -> bool:
    """Whether the cheapest quotes of the kinds differ by at least `spread` times."""
    least: dict[str, int] = {}
    for kind, quote in kinds:
        if not quote.grade:
            least[kind] = min(quote.minor, least.get(kind, quote.minor))
    return spread > 0 and len(least) > 1 and max(least.values()) >= spread * min(least.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPrecision:
    """How many audited cards were counted rightly, with Wilson's 95 % bounds.

    One for each recogniser.
    """

    recogniser: str
    audited: int
    right: int
    low: float
    high: float


def measure_precision(recogniser: str, right: int, audited: int) -> AuditPrecision:
    """Return the measured share of right cards with its interval (Wilson, 1927)."""
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
