"""What cards were last worth, as the cloud hands it out and packs carry it.

A file of one JSON object a line.
"""

from cardmint_contracts.cards import CardId, Edition, Finish, Money
from cardmint_contracts.wire import Downward, Instant, Line


class LastPrice(Downward, frozen=True):
    """A printing's last known price.

    With a finish or edition of None it is the lowest of what the card may be.
    """

    card: CardId
    price: Money
    as_of: Instant
    source: Line
    finish: Finish | None = None
    edition: Edition | None = None
