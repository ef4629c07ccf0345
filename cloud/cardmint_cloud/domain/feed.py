"""What the feed tells of a transaction's changes, as values."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from cardmint_cloud.domain.items import InventoryChanges, Item, Review
from cardmint_cloud.domain.quotes import Quote
from cardmint_contracts.cards import Card, Money
from cardmint_contracts.feed import (
    FeedData,
    FeedItem,
    FeedPrice,
    FeedPriceLine,
    FeedReview,
    FeedStation,
    ReplayRefusal,
    ReplayRequest,
)

MAX_RUN = 1000
"""Events of the feed that are stored as one row."""


class FeedEntry(NamedTuple):
    """One event before it is numbered: its type, moment and data."""

    type: str
    time: datetime
    data: FeedData


def unnamed_printings(changes: InventoryChanges) -> set[tuple[str, str]]:
    """Return the printings, by tenant and identifier, that `feed_entries` needs besides."""
    named = {(item.tenant, item.card_id) for item in changes.items.values() if item.card_id}
    return named - changes.printings.keys()


def feed_entries(
    changes: InventoryChanges, printings: Mapping[tuple[str, str], Card], now: datetime
) -> list[FeedEntry]:
    """Return what the feed tells of a transaction: items first, then reviews.

    An item is in the inventory while a holding counts it: a card that waits for a person is told
    when it is counted.
    """
    named = {**printings, **changes.printings}
    entries = [
        FeedEntry(
            f"cardmint.feed.item.{what}.v1",
            now,
            _item(item, named.get((item.tenant, item.card_id))),
        )
        for what, item in _told_items(changes)
    ]
    for task, review in changes.reviews.items():
        before = changes.reviews_before.get(task)
        opened = before is None or not before.open
        if opened and (review.open or before is None):
            entries.append(FeedEntry("cardmint.feed.review.opened.v1", now, _opened(review)))
        if not review.open and (before is None or before.open):
            entries.append(FeedEntry("cardmint.feed.review.closed.v1", now, _closed(review)))
    return entries


def price_entries(
    card_id: str, lines: Iterable[Quote], before: Mapping[tuple[str, str], Money], now: datetime
) -> list[FeedEntry]:
    """Return what the feed tells of a card's prices; `before` are those by finish and edition."""
    changed: list[FeedPriceLine] = []
    for line in lines:
        price = Money(minor=line.minor, currency=line.currency)
        was = before.get((line.finish, line.edition))
        if price != was:
            told = FeedPriceLine(
                finish=line.finish,
                edition=line.edition,
                price=price,
                before=was,
                source=line.source,
                as_of=line.as_of,
            )
            changed.append(told)
    if not changed:
        return []
    data = FeedPrice(card_id=card_id, lines=tuple(changed))
    return [FeedEntry("cardmint.feed.price.changed.v1", now, data)]


def station_entry(station: str, *, online: bool, since: datetime, version: str) -> FeedEntry:
    """Return what the feed tells of a station that has come or gone."""
    what = "up" if online else "down"
    data = FeedStation(station=station, online=online, since=since, version=version)
    return FeedEntry(f"cardmint.feed.station.{what}.v1", since, data)


def runs_of(entries: Sequence[FeedEntry]) -> Iterator[Sequence[FeedEntry]]:
    """Divide entries into runs of at most `MAX_RUN`."""
    for at in range(0, len(entries), MAX_RUN):
        yield entries[at : at + MAX_RUN]


def replay_refusal(
    request: ReplayRequest, stream: UUID, *, oldest: int, newest: int
) -> ReplayRefusal | None:
    """Return why a program does not get the events that it asks for; None if it does.

    `oldest` and `newest` are the events that are kept and published, 0 for none. The one after the
    newest may be asked for: there is nothing yet.
    """
    if request.stream not in {None, stream}:
        reason, detail = "other-stream", f"the feed is {stream}: begin anew with its numbers"
    elif request.first > newest + 1:
        reason = "never-was"
        detail = f"there is no event {request.first}: the newest is {newest}"
    elif request.first <= newest and not 0 < oldest <= request.first:
        reason = "gone"
        kept = f"the oldest is {oldest}" if oldest else "none is"
        detail = f"event {request.first} is kept no longer: {kept}"
    else:
        return None
    return ReplayRefusal(reason=reason, detail=detail, oldest=oldest, newest=newest)


def _told_items(changes: InventoryChanges) -> Iterator[tuple[str, Item]]:
    for key, item in changes.items.items():
        before = changes.items_before.get(key)
        was = before is not None and before.is_held
        if item.is_held:
            yield ("changed" if was else "added"), item
        elif was:
            yield "removed", item


def _item(item: Item, card: Card | None) -> FeedItem:
    return FeedItem(
        item=item.item,
        version=item.version,
        card_id=item.card_id,
        name=card.name if card else "",
        number=card.number if card else "",
        set_id=card.set_id if card else "",
        set_name=card.set_name if card else "",
        language=item.language,
        finish=item.finish,
        edition=item.edition,
        condition=item.condition,
        bin=item.bin,
        lot=item.lot,
        stock=item.stock,
        status=item.status.value,
        grader=item.grader,
        grade=item.grade,
        station=item.station,
        captured=item.captured_at,
    )


def _opened(review: Review) -> FeedReview:
    return FeedReview(
        task=review.task,
        item=review.item,
        question=review.question.value,
        reasons=review.reasons,
        station=review.station,
        opened=review.opened_at,
    )


def _closed(review: Review) -> FeedReview:
    card_id = review.card.id if review.card else None
    return structs.replace(_opened(review), verdict=review.verdict, card_id=card_id)
