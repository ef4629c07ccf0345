"""The feed: what a tenant's programs are told, numbered without gaps, and asked for again.

Each message is one CloudEvent in structured mode. `sequence` counts 1, 2, 3 … within `stream`,
which names the feed. A message may come again, and a number that is missing is asked for by replay.
"""

from typing import Annotated, Literal, NamedTuple, TypeAlias
from uuid import UUID

from msgspec import Meta, Raw

from cardmint_contracts.cards import CardId, Money
from cardmint_contracts.envelope import Digits
from cardmint_contracts.wire import Code, Count, Downward, Instant, Line, Upward

EVENT = "application/cloudevents+json"
"""Content type of one event of the feed; replayed ones come in batches (`envelope.BATCH`)."""

MAX_REPLAYED = 10_000
"""Most events that one request gets; for more it is asked again."""

NEXT, NEWEST = "next", "newest"
"""User properties of a replay's last message: the number to ask for next, and the newest one."""


WEBHOOK_TEST = "cardmint.webhook.test.v1"
"""The type of a webhook's test, which is no event of the feed."""


class FeedItem(Downward, frozen=True, omit_defaults=True):
    """A card of the inventory as it is after the event.

    What is empty is left out of the message. A removed card comes with
    what took it away: its `status` or its `stock`. `name` to `set_name` are the printing's;
    `station` is empty for a card that no camera saw.
    """

    item: UUID
    version: Annotated[int, Meta(ge=1)]
    captured: Instant
    stock: Code
    status: Code
    card_id: Line = ""
    name: Line = ""
    number: Line = ""
    set_id: Line = ""
    set_name: Line = ""
    language: Line = ""
    finish: Line = ""
    edition: Line = ""
    condition: Line = ""
    bin: Line = ""
    lot: Line = ""
    grader: Line = ""
    grade: Line = ""
    station: Line = ""


class FeedPriceLine(Downward, frozen=True):
    """The current price of a printing in one finish and edition; empty where they are open."""

    finish: Line
    edition: Line
    price: Money
    before: Money | None
    source: Line
    as_of: Instant


class FeedPrice(Downward, frozen=True):
    """A printing's prices that changed, each with the one before."""

    card_id: CardId
    lines: tuple[FeedPriceLine, ...]


class FeedReview(Downward, frozen=True):
    """A question about a card: when it opens, and when it is closed, then with its verdict."""

    task: UUID
    item: UUID
    question: Code
    reasons: tuple[Code, ...]
    station: Line
    opened: Instant
    verdict: Code | None = None
    card_id: CardId | None = None


class FeedStation(Downward, frozen=True):
    """Whether a station is connected, since when, and its version."""

    station: Line
    online: bool
    since: Instant
    version: Line


class FeedCounters(Downward, frozen=True):
    """Counts of a tenant at a moment: cards in the inventory, open questions, stations online.

    `sequence` is the newest event that was published before; the counts may be further.
    """

    stream: UUID
    sequence: Digits
    time: Instant
    cards: Count
    reviews: Count
    stations: Count


class FeedEvent(Downward, frozen=True):
    """One event of the feed as a CloudEvent. `id` is `{stream}/{number}`."""

    id: Annotated[str, Meta(min_length=1, max_length=80)]
    source: Annotated[str, Meta(max_length=80)]
    type: Annotated[str, Meta(max_length=80)]
    time: Instant
    stream: UUID
    sequence: Digits
    data: Raw
    specversion: Literal["1.0"] = "1.0"
    datacontenttype: Literal["application/json"] = "application/json"

    @property
    def number(self) -> int:
        """The sequence as a number."""
        return int(self.sequence)


class ReplayRequest(Upward, frozen=True):
    """A program asks for the events from a number on: `first`, and `limit` of them at most.

    `stream`, where it is given, must be the feed's: another feed has other events under its
    numbers.
    """

    first: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    limit: Annotated[int, Meta(ge=1, le=MAX_REPLAYED)] = MAX_REPLAYED
    stream: UUID | None = None


class ReplayRefusal(Downward, frozen=True):
    """The answer to a request that cannot be met: why, and which numbers there are.

    `oldest` and `newest` are 0 where there is no event.
    """

    reason: Code
    detail: Line
    oldest: Count = 0
    newest: Count = 0


class WebhookMessage(Downward, frozen=True):
    """One event of the feed as the body of a webhook, after the Standard Webhooks specification.

    `type` and `data` are those of the feed's event, `timestamp` its time, `sequence` its number
    within `stream`. The header `webhook-id` is the event's `id`, `{stream}/{number}`. A test has
    the type `WEBHOOK_TEST`, no data, and the number 0.
    """

    type: Annotated[str, Meta(max_length=80)]
    timestamp: Instant
    data: Raw
    stream: UUID
    sequence: Digits


FeedData: TypeAlias = FeedItem | FeedPrice | FeedReview | FeedStation


class FeedType(NamedTuple):
    """The steps of a kind's topic below `feed/`, and the struct of its data."""

    steps: str
    data: type[FeedData]


FEED_TYPES: dict[str, FeedType] = {
    "cardmint.feed.item.added.v1": FeedType("inventory/added", FeedItem),
    "cardmint.feed.item.changed.v1": FeedType("inventory/changed", FeedItem),
    "cardmint.feed.item.removed.v1": FeedType("inventory/removed", FeedItem),
    "cardmint.feed.price.changed.v1": FeedType("prices/changed", FeedPrice),
    "cardmint.feed.review.opened.v1": FeedType("reviews/opened", FeedReview),
    "cardmint.feed.review.closed.v1": FeedType("reviews/closed", FeedReview),
    "cardmint.feed.station.up.v1": FeedType("stations/up", FeedStation),
    "cardmint.feed.station.down.v1": FeedType("stations/down", FeedStation),
}
