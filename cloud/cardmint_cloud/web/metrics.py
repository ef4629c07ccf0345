"""What Prometheus is told: requests by route and status, how long they took, what is held, who is watching."""

import time

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

UNTIMED = frozenset({"/events"})
"""Routes that last as long as somebody looks."""


class Metrics:
    """One process's figures, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "cardmint_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "cardmint_http_request_seconds", "How long an answer took.", ["route"], registry=self.registry
        )
        self._items = Gauge("cardmint_items", "Physical cards, by status.", ["status"], registry=self.registry)
        self._waiting = Gauge("cardmint_waiting", "What waits for a person.", ["what"], registry=self.registry)
        self._clients = Gauge("cardmint_sse_clients", "Clients of the event stream.", registry=self.registry)
        self._listening = Gauge("cardmint_listening", "Whether changes are heard of.", registry=self.registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        if route not in UNTIMED:
            self._seconds.labels(route).observe(seconds)

    def text(self, *, items: dict[str, int], waiting: dict[str, int], clients: int, listening: bool) -> bytes:
        """Return everything in Prometheus's text format."""
        for status in ("counted", "review", "rejected"):
            self._items.labels(status).set(items.get(status, 0))
        for what, count in waiting.items():
            self._waiting.labels(what).set(count)
        self._clients.set(clients)
        self._listening.set(listening)
        return generate_latest(self.registry)


class Measured:
    """ASGI: counts and times what passes through. Paths are counted by their route, so that ids make no new series."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count its answer."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = str(scope.get("path_template") or "unmatched")
            self._metrics.count(scope["method"], route, status, time.perf_counter() - started)
