"""The figures of the work at hand, kept up to date from the local history."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from cardmint_contracts.cards import Money, ScanDefaults
from cardmint_contracts.prices import LastPrice
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.domain.tally import Figures, TalliedScan, Tally
from cardmint_edge.page.views import scan_kind
from cardmint_edge.review_tasks import ScanAnswer

KEEPS = 1000
"""Scans that may still be taken back: those of the local history."""


class ScanHistory(Protocol):
    """The local history, as the figures need it."""

    def scans_after(self, position: int, count: int) -> Sequence[ScanRecord]:
        """Return the `count` newest scans after a position, the oldest first."""
        ...

    def withdrawn_scans(self) -> set[UUID]:
        """Return the scans of the history that were taken back."""
        ...


@dataclass(slots=True)
class _KnownScan:
    time: datetime
    defaults: ScanDefaults
    card: str
    counted: bool


class FiguresReader:
    """Reads the figures. Each call adds what was scanned, answered and taken back since the last.

    `price` returns a printing's last known price.
    """

    def __init__(
        self, history: ScanHistory, price: Callable[[str, ScanDefaults], LastPrice | None]
    ) -> None:
        self._history = history
        self._price = price
        self._tally = Tally(KEEPS)
        self._known: OrderedDict[UUID, _KnownScan] = OrderedDict()
        self._position = 0
        self._withdrawn: set[UUID] = set()
        self._answers: Mapping[UUID, ScanAnswer] = {}

    def read(self, lot: str, now: datetime, answers: Mapping[UUID, ScanAnswer]) -> Figures:
        """Return the figures, with those of a lot. `answers` says what persons said of scans."""
        withdrawn = self._history.withdrawn_scans()
        changed = withdrawn ^ self._withdrawn
        changed |= {
            scan
            for scan in answers.keys() | self._answers.keys()
            if answers.get(scan) != self._answers.get(scan)
        }
        self._withdrawn, self._answers = withdrawn, answers
        new = self._history.scans_after(self._position, KEEPS)
        if new and not self._position and len(new) == KEEPS:
            self._tally.began_before(new[0].scan.defaults.lot)
        for record in new:
            scan = record.scan
            self._position = record.position
            self._known[scan.scan] = _KnownScan(
                time=record.time,
                defaults=scan.defaults,
                card=scan.card.id if scan.card else "",
                counted=scan_kind(replace(record, withdrawn=False), {}) == "counted",
            )
            changed.add(scan.scan)
        for name in [scan for scan in self._known if scan in changed] if changed else ():
            self._tally.put(self._tallied(name, self._known[name]))
        while len(self._known) > KEEPS:
            self._known.popitem(last=False)
        return self._tally.figures(lot, now)

    def _tallied(self, scan: UUID, known: _KnownScan) -> TalliedScan:
        answer = self._answers.get(scan)
        card = known.card if answer is None else answer.card.id if answer.card else ""
        counted = (known.counted if answer is None else bool(answer.card)) and (
            scan not in self._withdrawn
        )
        return TalliedScan(
            scan=scan,
            time=known.time,
            lot=known.defaults.lot,
            counted=counted,
            price=self._money(card, known.defaults) if counted and card else None,
        )

    def _money(self, card: str, defaults: ScanDefaults) -> Money | None:
        price = self._price(card, defaults)
        return price.price if price else None
