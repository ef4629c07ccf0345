"""Figures for Prometheus: what the station counted, and how it is."""

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from cardmint_contracts.stations import StationHealth
from cardmint_edge.status import OutboxStatus

BUCKETS_MS = (10, 25, 50, 75, 100, 150, 250, 500, 1000, 2500)
_WORDS = {
    "scanned": "Cards counted since the outbox was made",
    "set_aside": "Captures that could not be used",
    "starts": "Starts of the agent",
    "events_waiting": "Events that no receipt covers",
    "oldest_unsent_seconds": "Age of the oldest of them",
    "images_waiting": "Images that wait for their upload",
    "images_parked": "Images that the cloud did not take",
    "images_lost": "Images given up before the cloud had them",
    "disk_free_bytes": "Free bytes on the data's disk",
    "clock_synced": "Whether the network set the clock",
    "connected": "Whether a connection to the broker stands",
}


class StationMetrics:
    """Counts the milliseconds of cards; everything else is asked for when it is shown."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._card = Histogram(
            "cardmint_card_ms",
            "Milliseconds from the shot to the beep",
            buckets=BUCKETS_MS,
            registry=self._registry,
        )
        self._gauges = {
            name: Gauge(f"cardmint_{name}", words, registry=self._registry)
            for name, words in _WORDS.items()
        }

    def card(self, ms: dict[str, float]) -> None:
        """Learn how long a card took, step by step."""
        self._card.observe(sum(ms.values()))

    def shown(self, status: OutboxStatus, health: StationHealth, *, connected: bool) -> bytes:
        """Return every figure in Prometheus' text format."""
        found: dict[str, float] = {
            "scanned": status.scanned,
            "set_aside": status.parked,
            "starts": status.epoch,
            "events_waiting": status.queued,
            "oldest_unsent_seconds": health.oldest_unsent_s,
            "images_waiting": status.images_waiting,
            "images_parked": status.images_parked,
            "images_lost": status.images_lost,
            "disk_free_bytes": health.disk_free_bytes,
            "clock_synced": health.clock_synced,
            "connected": connected,
        }
        for name, value in found.items():
            self._gauges[name].set(value)
        return generate_latest(self._registry)
