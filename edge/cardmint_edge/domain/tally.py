"""The figures of the work at hand: cards a minute, of the session, and of a lot with its value."""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from cardmint_contracts.cards import Money

SESSION_ENDS = timedelta(minutes=30)
"""A pause after which a new session begins."""

PACE_WINDOW = timedelta(minutes=5)
SHORTEST_WINDOW = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class TalliedScan:
    """A scan as the tally needs it.

    `counted` is whether it counts as a card now; `price` is that card's, None for an unknown one.
    """

    scan: UUID
    time: datetime
    lot: str
    counted: bool
    price: Money | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Cards a minute over the last minutes, scans of the session, cards of a lot and their value.

    `lot_incomplete`: the lot began before what the station remembers.
    """

    per_minute: float = 0.0
    session: int = 0
    lot: str = ""
    lot_cards: int = 0
    lot_value: tuple[Money, ...] = ()
    lot_incomplete: bool = False


NO_FIGURES = Figures()


@dataclass(slots=True)
class _Lot:
    cards: int = 0
    value: dict[str, int] = field(default_factory=dict)

    def change(self, scan: TalliedScan, by: int) -> None:
        if not scan.counted:
            return
        self.cards += by
        if scan.price is not None:
            value = self.value.get(scan.price.currency, 0) + by * scan.price.minor
            self.value[scan.price.currency] = value


class Tally:
    """Adds up scans. The last `keeps` of them may still change."""

    def __init__(self, keeps: int) -> None:
        self._keeps = keeps
        self._scans: OrderedDict[UUID, TalliedScan] = OrderedDict()
        self._lots: dict[str, _Lot] = {}
        self._session = 0
        self._last: datetime | None = None
        self._first_lot: str | None = None

    def began_before(self, lot: str) -> None:
        """Remember that scans of `lot` may have come before the first one that is added."""
        self._first_lot = lot

    def put(self, scan: TalliedScan) -> None:
        """Add a scan, or change one that was added."""
        before = self._scans.get(scan.scan)
        if before is None:
            new = self._last is None or scan.time - self._last > SESSION_ENDS
            self._session = 1 if new else self._session + 1
            self._last = scan.time
        else:
            self._lots[before.lot].change(before, -1)
        self._lots.setdefault(scan.lot, _Lot()).change(scan, 1)
        self._scans[scan.scan] = scan
        while len(self._scans) > self._keeps:
            self._scans.popitem(last=False)

    def figures(self, lot: str, now: datetime) -> Figures:
        """Return the figures, with those of `lot`; empty for none."""
        total = self._lots.get(lot, _Lot())
        over = self._last is None or now - self._last > SESSION_ENDS
        return Figures(
            per_minute=self._per_minute(now),
            session=0 if over else self._session,
            lot=lot,
            lot_cards=total.cards,
            lot_value=tuple(
                Money(minor=minor, currency=currency)
                for currency, minor in sorted(total.value.items())
                if minor > 0
            ),
            lot_incomplete=bool(lot) and lot == self._first_lot,
        )

    def _per_minute(self, now: datetime) -> float:
        times = []
        for scan in reversed(self._scans.values()):
            if now - scan.time > PACE_WINDOW:
                break
            times.append(scan.time)
        if not times:
            return 0.0
        return len(times) / (max(now - times[-1], SHORTEST_WINDOW) / timedelta(minutes=1))
