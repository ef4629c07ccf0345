"""The station's metrics for Prometheus."""

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from cardmint_contracts.stations import StationHealth
from cardmint_edge.status import OutboxStatus

BUCKETS_MS = (10, 25, 50, 75, 100, 150, 250, 500, 1000, 2500)
_GAUGES = {
    "scanned": "Cards counted since the outbox was made",
    "set_aside": "Captures that could not be used",
    "starts": "Starts of the agent",
    "events_waiting": "Events that no receipt covers",
    "oldest_unsent_seconds": "Age of the oldest event that no receipt covers",
    "images_waiting": "Images that wait for their upload",
    "images_parked": "Images that the cloud did not take",
    "images_lost": "Images evicted before the cloud had them",
    "disk_free_bytes": "Free bytes on the disk of the data folder",
    "clock_synced": "Whether the network set the clock",
    "connected": "Whether there is a connection to the broker",
}


class StationMetrics:
    """Collects the milliseconds of each card. All other values are passed in when they are read."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._card = Histogram(
            "cardmint_card_ms",
            "Milliseconds from the shot to the beep",
            buckets=BUCKETS_MS,
            registry=self._registry,
        )
        self._gauges = {
            name: Gauge(f"cardmint_{name}", text, registry=self._registry)
            for name, text in _GAUGES.items()
        }

    def observe_card(self, ms: dict[str, float]) -> None:
        """Record the milliseconds of each step of one card."""
        self._card.observe(sum(ms.values()))

    def render(self, status: OutboxStatus, health: StationHealth, *, connected: bool) -> bytes:
        """Return every metric in Prometheus' text format."""
        values: dict[str, float] = {
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
        for name, value in values.items():
            self._gauges[name].set(value)
        return generate_latest(self._registry)
