"""Another box with the same tenant and name, noticed by its birth on the station's own topic."""

from uuid import UUID

from cardmint_contracts.stations import StationState

HEARD_S = 120.0
"""Seconds for which a birth of another box is shown."""

ANSWER_EVERY_S = 30.0
"""Seconds between two births that answer another box's, at least: both boxes answer."""


class TwinWatch:
    """Watches the births on the station's topic. All times are seconds of one clock."""

    def __init__(self, bootid: UUID) -> None:
        self._bootid = bootid
        self._twin: StationState | None = None
        self._heard_at = 0.0
        self._answered_at: float | None = None

    def heard(self, state: StationState, now: float) -> bool:
        """Take a birth or death; return whether to answer it with an own birth.

        The answer tells the other box, and the cloud, that there are two.
        """
        if state.bootid == self._bootid or not state.online:
            return False
        self._twin, self._heard_at = state, now
        if self._answered_at is not None and now - self._answered_at < ANSWER_EVERY_S:
            return False
        self._answered_at = now
        return True

    def text(self, now: float) -> str:
        """Return what the operator has to know; empty while there is no other box."""
        if self._twin is None or now - self._heard_at > HEARD_S:
            return ""
        return (
            "another box has the same name as this one"
            f" (boot {str(self._twin.bootid)[:8]}, start {self._twin.epoch};"
            f" this one is boot {str(self._bootid)[:8]}): give each box its own name."
            " Both are counted meanwhile"
        )
