"""What cards were last worth, as the cloud hands it out and packs carry it.

A file of one JSON object a line.
"""

from cardmint_contracts.cards import CardId, Edition, Finish, Money
from cardmint_contracts.wire import Downward, Instant, Line


class LastPrice(Downward, frozen=True):
    """A printing's last known price.

    A finish or edition of None means any: the price is then the lowest of them.
    """

    card: CardId
    price: Money
    as_of: Instant
    source: Line
    finish: Finish | None = None
    edition: Edition | None = None
