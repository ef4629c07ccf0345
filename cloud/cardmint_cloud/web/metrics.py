"""Metrics for Prometheus: requests, items, waiting work, providers, jobs and audits."""

import time
from collections.abc import Sequence

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cardmint_cloud.adapters.postgres.queries.provider_status import PriceSupply
from cardmint_cloud.domain.breaker import BreakerState
from cardmint_cloud.domain.review_rules import AuditPrecision
from cardmint_cloud.web.guards import send_text

QUEUES = ("prices", "clock")
UNTIMED = frozenset({"/events"})
"""Routes that last as long as their client."""


class Metrics:
    """One process's metrics, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "cardmint_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cardmint_http_request_seconds",
            "How long an answer took.",
            ["route"],
            registry=self.registry,
        )
        self._items = Gauge(
            "cardmint_items", "Physical cards, by status.", ["status"], registry=self.registry
        )
        self._waiting = Gauge(
            "cardmint_waiting", "What waits for a person.", ["what"], registry=self.registry
        )
        self._clients = Gauge(
            "cardmint_sse_clients", "Clients of the event stream.", registry=self.registry
        )
        one = self._gauge
        self._breakers = one(
            "cardmint_provider_breakers", "Workers' breakers by state.", ["provider", "state"]
        )
        self._calls = one("cardmint_provider_calls_today", "Calls in this UTC day.", ["provider"])
        self._budget = one(
            "cardmint_provider_budget", "Calls allowed in this UTC day.", ["provider"]
        )
        self._answered = one(
            "cardmint_provider_answers", "Answers by the workers that live.", ["provider", "from"]
        )
        self._judged = one(
            "cardmint_provider_judged", "Known cards of the workers' last answers.", ["provider"]
        )
        self._unpriced = one(
            "cardmint_provider_unpriced", "Those of them without any price.", ["provider"]
        )
        self._stale = one("cardmint_prices_stale", "Held printings whose price is old.", [])
        self._lag = one(
            "cardmint_jobs_lag_seconds", "Age of the oldest job that could run.", ["queue"]
        )
        self._waiting_jobs = one(
            "cardmint_jobs_waiting", "Jobs that could run and do not yet.", ["queue"]
        )
        self._jobs = one("cardmint_jobs", "Jobs by status.", ["status"])
        self._audited = one(
            "cardmint_audited", "Counted cards looked at by chance.", ["recogniser"]
        )
        self._precision = one(
            "cardmint_precision", "Share of audited cards that were right.", ["recogniser", "bound"]
        )
        self._listening = Gauge(
            "cardmint_listening", "Whether changes are heard of.", registry=self.registry
        )

    def _gauge(self, name: str, documentation: str, labels: list[str]) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        if route not in UNTIMED:
            self._seconds.labels(route).observe(seconds)

    def text(
        self,
        *,
        items: dict[str, int],
        waiting: dict[str, int],
        clients: int,
        listening: bool,
        supply: PriceSupply,
        precisions: Sequence[AuditPrecision],
    ) -> bytes:
        """Return all metrics in Prometheus's text format."""
        for status in ("counted", "review", "rejected"):
            self._items.labels(status).set(items.get(status, 0))
        for what, count in waiting.items():
            self._waiting.labels(what).set(count)
        self._clients.set(clients)
        self._listening.set(listening)
        self._supplied(supply)
        for one in precisions:
            self._audited.labels(one.recogniser).set(one.audited)
            for bound, share in (
                ("low", one.low),
                ("measured", one.right / one.audited),
                ("high", one.high),
            ):
                self._precision.labels(one.recogniser, bound).set(share)
        return generate_latest(self.registry)

    def _supplied(self, supply: PriceSupply) -> None:
        self._breakers.clear()
        for provider in supply.providers:
            for state in BreakerState:
                breakers = sum(worker["state"] == state for worker in provider.workers)
                self._breakers.labels(provider.name, state.value).set(breakers)
            for origin, name in (("net", "answered"), ("cache", "cached")):
                self._answered.labels(provider.name, origin).set(
                    sum(worker[name] for worker in provider.workers)
                )
            self._judged.labels(provider.name).set(provider.judged)
            self._unpriced.labels(provider.name).set(provider.unpriced)
            if provider.forecast is not None:
                self._calls.labels(provider.name).set(provider.forecast.calls)
                self._budget.labels(provider.name).set(provider.forecast.budget)
        self._stale.set(supply.stale)
        for queue in {*QUEUES, *supply.lag}:
            waiting, oldest = supply.lag.get(queue, (0, 0.0))
            self._waiting_jobs.labels(queue).set(waiting)
            self._lag.labels(queue).set(oldest)
        for status in ("todo", "doing", "failed"):
            self._jobs.labels(status).set(supply.jobs.get(status, 0))


class MetricsPort:
    """ASGI: on its own port `metrics_app` answers `/metrics`, nothing else; elsewhere `app` does.

    Who scrapes has no account, and comes by the machine's address.
    """

    def __init__(self, app: ASGIApp, metrics_app: ASGIApp, port: int) -> None:
        self._app, self._metrics_app, self._port = app, metrics_app, port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on by the port at which it came."""
        if scope["type"] != ScopeType.HTTP or (scope["server"] or ("", 0))[1] != self._port:
            await self._app(scope, receive, send)
        elif scope["path"] == "/metrics" and scope["method"] in {"GET", "HEAD"}:
            await self._metrics_app(scope, receive, send)
        else:
            await send_text(send, 404, "This port has /metrics, and nothing else.\n")


class MeasuredApp:
    """ASGI: counts and times requests.

    They are counted by route, so that identifiers in paths make no new series.
    """

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
