"""Counts of a tenant's scans, read from the tables, and the time until each became visible."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import httpx

from cardmint_cloud.adapters.postgres.connection import fetch_one

_CENSUS = """
SELECT (SELECT count(*) FROM events WHERE tenant = $1 AND type LIKE 'cardmint.card.scanned.v%')
       AS scans,
       (SELECT count(DISTINCT subject) FROM events WHERE tenant = $1
              AND type LIKE 'cardmint.card.scanned.v%') AS cards,
       (SELECT count(*) FROM items WHERE tenant = $1) AS items,
       (SELECT count(*) FROM items WHERE tenant = $1 AND status = 'counted') AS counted,
       (SELECT count(*) FROM items WHERE tenant = $1 AND status = 'review') AS reviews,
       (SELECT count(*) FROM items WHERE tenant = $1 AND status = 'rejected') AS rejected,
       (SELECT coalesce(sum(count), 0) FROM holdings WHERE tenant = $1) AS held,
       (SELECT count(*) FROM items i WHERE tenant = $1 AND status = 'counted' AND EXISTS (
            SELECT FROM current_quotes q WHERE q.tenant = i.tenant AND q.card_id = i.card_id))
                   AS priced,
       (SELECT count(*) FROM dead_letters WHERE tenant = $1) AS parked,
       (SELECT count(*) FROM stations WHERE tenant = $1 AND online) AS online"""


_CENSUS_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Census:
    """Numbers of scans, of the cards that they show, and of what became of those."""

    scans: int
    cards: int
    items: int
    counted: int
    reviews: int
    rejected: int
    held: int
    priced: int
    parked: int
    online: int

    @property
    def doubled(self) -> int:
        """Number of cards that are counted more than once in any table."""
        return (
            (self.scans - self.cards)
            + max(0, self.items - self.cards)
            + max(0, self.held - self.counted)
        )

    @property
    def settled(self) -> bool:
        """Whether every counted card is held and priced."""
        return self.held == self.counted == self.priced


async def take_census(address: str, tenant: str) -> Census:
    """Count a tenant's cards in the database at `address`.

    Raises:
        TimeoutError: the database does not answer.
    """
    connection = await asyncpg.connect(address, timeout=_CENSUS_S, command_timeout=_CENSUS_S)
    try:
        row = await fetch_one(connection, _CENSUS, tenant)
        return Census(**{key: int(value) for key, value in row.items()})
    finally:
        connection.terminate()


class Watcher(threading.Thread):
    """Follows the dashboard's live updates as a browser does, and records when each item came."""

    def __init__(self, url: str, *, token: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._headers = {"authorization": f"Bearer {token}"}
        self._ended = threading.Event()
        self.seconds: dict[str, float] = {}
        self.captured: dict[str, datetime] = {}

    def run(self) -> None:
        """Listen, and reconnect when the connection is lost, until `end`."""
        while not self._ended.is_set():
            try:
                with httpx.stream(
                    "GET", self._url, headers=self._headers, timeout=httpx.Timeout(5, read=30)
                ) as answer:
                    self._follow(answer)
            except httpx.HTTPError:
                self._ended.wait(0.2)

    def _follow(self, answer: httpx.Response) -> None:
        for line in answer.iter_lines():
            if self._ended.is_set():
                return
            if line.startswith("data:") and '"items"' in line:
                now = datetime.now(UTC)
                for item in json.loads(line.removeprefix("data:"))["items"]:
                    captured = datetime.fromisoformat(item["captured_at"])
                    if self.seconds.setdefault(item["item"], (now - captured).total_seconds()) >= 0:
                        self.captured.setdefault(item["item"], captured)

    def end(self) -> None:
        """Stop listening."""
        self._ended.set()


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of `values` do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
