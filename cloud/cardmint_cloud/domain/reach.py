"""How far a person or program reaches within a tenant: all its cards, or those of some places."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

from cardmint_cloud.errors import Conflict
from cardmint_contracts import topics
from cardmint_contracts.changes import ItemValues
from cardmint_contracts.errors import BadTopic

MOST = 50
"""Stations, and lots, that one reach names at most."""

MOST_LOT = 200


@dataclass(frozen=True, slots=True)
class Reach:
    """The cards of these stations and of these lots; none named is any.

    Where both are named, a card must be of one of the stations and of one of the lots.
    """

    stations: frozenset[str] = field(default_factory=frozenset)
    lots: frozenset[str] = field(default_factory=frozenset)

    def includes(self, station: str, lot: str) -> bool:
        """Return whether a card of a station and a lot is within the reach."""
        return (not self.stations or station in self.stations) and (
            not self.lots or lot in self.lots
        )

    def keeps(self, values: ItemValues) -> bool:
        """Return whether cards that get these values stay within the reach."""
        moved = "lot" in values.fields
        return not (moved and self.lots) or (values.lot or "") in self.lots

    @property
    def setting(self) -> str:
        """The reach as the policies of Postgres read it (`row_security.REACHED`)."""
        named = (("stations", self.stations), ("lots", self.lots))
        return json.dumps({name: sorted(values) for name, values in named if values})

    @property
    def words(self) -> str:
        """The reach for people, such as `stations left, right · lots june`."""
        named = (("stations", self.stations), ("lots", self.lots))
        told = [f"{name} {', '.join(sorted(values))}" for name, values in named if values]
        return " · ".join(told) or "all cards"


def reach_of(stations: Collection[str], lots: Collection[str]) -> Reach | None:
    """Return a reach; None for all cards, where nothing is named."""
    return Reach(frozenset(stations), frozenset(lots)) if stations or lots else None


def parse_reach(stations: str, lots: str) -> Reach | None:
    """Return what somebody typed as a reach: stations by spaces or commas, lots one a line.

    Raises:
        Conflict: a name cannot be one, or there are too many.
    """
    named = frozenset(stations.replace(",", " ").split())
    lines = frozenset(line.strip() for line in lots.splitlines() if line.strip())
    if max(len(named), len(lines)) > MOST:
        raise Conflict(f"At most {MOST} stations and {MOST} lots can be named.")
    for station in sorted(named):
        try:
            topics.name(station)
        except BadTopic:
            raise Conflict(f"{station[:80]!r} is no name of a station.") from None
    for lot in sorted(lines):
        if len(lot) > MOST_LOT or not lot.isprintable():
            raise Conflict(f"{lot[:80]!r} is no name of a lot.")
    return reach_of(named, lines)
