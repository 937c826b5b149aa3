"""What `/metrics` tells Prometheus: requests and how long they took, images, what was added, jobs."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vecstore.web.jobs import Job

# Seconds: from a thumbnail that is cached to a picture that has to be embedded.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"})


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vecstore_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "vecstore_http_request_seconds",
            "Seconds until the answer began.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.added = Counter("vecstore_images_added", "Files that jobs of this server added.", registry=self.registry)
        self.jobs = Counter("vecstore_jobs", "Jobs that are over.", ["kind", "state"], registry=self.registry)

    def count_job(self, job: Job) -> None:
        self.jobs.labels(job.kind, job.state).inc()
        self.added.inc((job.result or {}).get("added", 0))

    def text(self, images: int, failures: int) -> bytes:
        """Return all figures in Prometheus's text format. images, failures: of the store, now."""
        now = _Now({"images": images, "failures": failures})
        self.registry.register(now)
        try:
            return generate_latest(self.registry)
        finally:
            self.registry.unregister(now)


class _Now(Collector):
    def __init__(self, figures: dict[str, int]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, value in self._figures.items():
            yield GaugeMetricFamily(f"vecstore_{name}", f"The store's {name}, now.", value)


class Counted:
    """A layer that counts and times requests, by the route that answered, so that ids make no labels of their own."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(scope, status, time.perf_counter() - started)
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        finally:
            if not status:  # it raised, or whoever asked went away
                self._count(scope, 500, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
