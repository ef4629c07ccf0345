"""Event logs that Hypothesis draws, and the inventory folded from them."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from hypothesis import strategies as st

from cardmint_cloud.domain.fold import fold
from cardmint_cloud.domain.items import (
    Holding,
    InventoryChanges,
    Item,
    ItemKey,
    LoggedEvent,
    Review,
    ReviewKey,
    review_task_id,
)
from cardmint_contracts.cards import Decision, Finish, ScanDefaults
from cardmint_contracts.events import CardScanned, EventData, ImageEvicted, ReviewAnswered
from tests.cloud.kit.cards import FOX, NOW, OWL, RECOGNISER

SCANS = [UUID(int=n) for n in range(1, 7)]
TENANTS = ["shop", "other"]
EVICTED = ImageEvicted(sha256="0" * 64, bytes=1, kind="full", uploaded=True, reason="disk-full")

scanned = st.builds(
    lambda scan, card, decision, finish: CardScanned(
        scan=scan,
        decision=decision,
        recogniser=RECOGNISER,
        card=card if decision is Decision.ACCEPT else None,
        defaults=ScanDefaults(finish=finish),
    ),
    st.sampled_from(SCANS),
    st.sampled_from([FOX, OWL]),
    st.sampled_from(Decision),
    st.sampled_from([None, Finish.HOLO]),
)
answered = st.builds(
    lambda scan, card, version: ReviewAnswered(
        task=review_task_id(scan),
        task_version=version,
        scan=scan,
        verdict="card" if card else "no_card",
        card=card,
        by="ann",
    ),
    st.sampled_from(SCANS),
    st.sampled_from([None, FOX, OWL]),
    st.sampled_from([1, 1, 1, 2]),
)


def logged_event(data: EventData, tenant: str = "shop") -> LoggedEvent:
    return LoggedEvent(tenant=tenant, origin="left", occurred_at=NOW, received_at=NOW, data=data)


@st.composite
def possible_logs(draw: st.DrawFn) -> list[LoggedEvent]:
    """Logs in which an answer only comes after the scan whose review it answers."""
    log: list[LoggedEvent] = []
    reviewed: set[tuple[str, UUID]] = set()
    seen: set[tuple[str, UUID]] = set()
    for data in draw(st.lists(st.one_of(scanned, answered, st.just(EVICTED)), max_size=30)):
        tenant = draw(st.sampled_from(TENANTS))
        if isinstance(data, CardScanned):
            key = (tenant, data.scan)
            if data.decision is Decision.REVIEW and key not in seen:
                reviewed.add(key)
            seen.add(key)
        elif isinstance(data, ReviewAnswered) and (tenant, data.scan) not in reviewed:
            continue
        log.append(logged_event(data, tenant))
    return log


class FoldedTables:
    """The tables as the database holds them between two transactions."""

    def __init__(self) -> None:
        self.items: dict[ItemKey, Item] = {}
        self.reviews: dict[ReviewKey, Review] = {}
        self.holdings: Counter[Holding] = Counter()

    def apply(self, events: Sequence[LoggedEvent]) -> InventoryChanges:
        changes = fold(self.items, self.reviews, events)
        self.items |= changes.items
        self.reviews |= changes.reviews
        self.holdings.update(changes.holdings)
        return changes
