"""What Prometheus scrapes: what is counted of requests and batches, and values read when it asks."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from server.detect.pipeline import Pipeline
from server.detect.request import STAGES
from server.engine.manifest import MODALITIES
from server.engine.queue import Job
from server.engine.reload import Reloader
from server.errors import CannotListen
from server.media.isolation import DecodePool
from server.telemetry import Record

log = logging.getLogger(__name__)

# From a tenth of a millisecond to two minutes, each bound two to three times the one before.
_SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
_COUNTS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_MESSAGE_OUTCOMES = ("DELIVERED", "RETRIED", "DEAD_LETTER", "LEFT", "NOT_FETCHED")
_SILENCE_SECONDS = 10.0


class Metrics:
    """The metrics of one server, which answers GET /metrics from a thread of its own.

    Args:
        host: address to listen on.
        port: 0 for a free one.

    Attributes:
        port: that is listened on.

    Raises:
        CannotListen: the port is taken.
    """

    def __init__(self, host: str, port: int) -> None:
        # Not the global registry, so that servers in one process do not mix.
        self._registry = CollectorRegistry()
        self._http = _listen(host, port, self._registry)
        self.port = self._http.server_port
        ProcessCollector(registry=self._registry)
        requests = Counter(
            "deepfake_requests",
            "Requests by method and outcome: a verdict, OK where the method has none, FAILED or CANCELLED.",
            ("method", "outcome"),
            registry=self._registry,
        )
        self._failures = Counter(
            "deepfake_request_failures",
            "Failed requests by the stable code of their error.",
            ("method", "reason"),
            registry=self._registry,
        )
        messages = Counter(
            "deepfake_job_messages",
            "Messages by what became of them: DELIVERED, RETRIED, DEAD_LETTER, or LEFT for others; "
            "NOT_FETCHED counts fetches that failed.",
            ("outcome",),
            registry=self._registry,
        )
        # Each is there from the start: Prometheus sees no increase in the first value of a new counter.
        self._messages = {outcome: messages.labels(outcome) for outcome in _MESSAGE_OUTCOMES}
        seconds = self._histogram(
            "deepfake_request_duration_seconds", "From arrival to answer.", _SECONDS, "method"
        )
        stages = self._histogram(
            "deepfake_stage_duration_seconds",
            "Time that a request spent in a stage; stages that it did not need are not counted.",
            _SECONDS,
            "stage",
        )
        self._stages = [(stage, stages.labels(stage)) for stage in STAGES]
        self._batch_requests = self._histogram(
            "deepfake_batch_requests",
            "Requests in a batch, or parts of them: channels that are judged apart, subjects of tensors.",
            _COUNTS,
        )
        self._batch_seconds = self._histogram(
            "deepfake_batch_duration_seconds",
            "Run time of a batch; the sum is how long workers of the engine were busy.",
            _SECONDS,
        )
        self._batch_cost = self._histogram(
            "deepfake_batch_cost_seconds", "Run time of a batch as estimated when it was formed.", _SECONDS
        )
        rows = self._histogram("deepfake_batch_rows", "Rows of a modality in a batch.", _COUNTS, "modality")
        self._batch_rows = [rows.labels(modality) for modality in MODALITIES]
        # `labels` takes three times as long as the increment.
        self._requests_of = cache(requests.labels)
        self._seconds_of = cache(seconds.labels)

    def request(self, record: Record) -> None:
        """Counts a request that ended."""
        self._requests_of(record.method, record.outcome).inc()
        self._seconds_of(record.method).observe(record.seconds)
        if record.reason:
            self._failures.labels(record.method, record.reason).inc()
        for stage, histogram in self._stages:
            if seconds := getattr(record.timing, stage):
                histogram.observe(seconds)

    def message(self, outcome: str) -> None:
        """Counts a message of a queue by one of the outcomes that the metric names."""
        self._messages[outcome].inc()

    def batch(self, batch: Sequence[Job], seconds: float) -> None:
        """Counts a run of the graph."""
        self._batch_requests.observe(len(batch))
        self._batch_seconds.observe(seconds)
        self._batch_cost.observe(sum(job.cost for job in batch))
        counts = zip(*(job.rows.counts for job in batch), strict=True)
        for histogram, rows in zip(self._batch_rows, counts, strict=True):
            histogram.observe(sum(rows))

    def watch(self, reloader: Reloader, pipeline: Pipeline, decoders: DecodePool) -> None:
        """Adds the values that are only read when Prometheus asks."""
        self._registry.register(_Values(reloader, pipeline, decoders))

    def close(self) -> None:
        """Stops answering. Blocks until the thread has noticed."""
        self._http.shutdown()
        self._http.server_close()

    def _histogram(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self._registry, buckets=bounds)


class _Values(Collector):
    """Values that the parts of the server hold anyway."""

    def __init__(self, reloader: Reloader, pipeline: Pipeline, decoders: DecodePool) -> None:
        self._reloader = reloader
        self._pipeline = pipeline
        self._decoders = decoders

    def collect(self) -> Iterator[Metric]:
        engine, pipeline, decoders = self._reloader.live.current, self._pipeline, self._decoders
        verdicts = pipeline.verdicts
        manifest = engine.manifest
        model = {"name": manifest.name, "version": manifest.version, "provider": engine.provider.name}
        yield InfoMetricFamily("deepfake_model", "The model that answers now.", value=model)
        for name, text, value in (
            ("requests_in_flight", "Requests accepted and not yet answered.", pipeline.admission.in_flight),
            ("media_bytes", "Bytes of media in flight, copies included.", pipeline.media_bytes.held),
            ("queue_depth", "Requests, or parts of them, that wait for the engine.", engine.waiting),
            (
                "queue_cost_seconds",
                "Estimated seconds until a newcomer would be run.",
                engine.backlog_seconds,
            ),
            (
                "wait_stretch",
                "Factor that estimated waits are multiplied by.",
                max(forecast.stretch for forecast in pipeline.admission.forecasts.values()),
            ),
            ("engine_workers", "Batches that the engine runs at once.", engine.workers),
            ("engine_workers_busy", "Batches that are running.", engine.running),
            ("cache_bytes", "Estimated size of the known verdicts.", verdicts.size),
            ("cache_entries", "Known verdicts.", verdicts.entries),
            ("decode_workers", "Media that are decoded at once.", decoders.workers),
            ("decode_queue_depth", "Media that wait for a decoder.", decoders.waiting),
            (
                "model_versions_passed_over",
                "Versions that would serve now if they could be loaded.",
                self._reloader.passed_over,
            ),
        ):
            yield GaugeMetricFamily(f"deepfake_{name}", text, value=value)
        for name, text, value in (
            ("decode_busy_seconds", "How long decoders were busy, added up.", decoders.busy_seconds),
            (
                "cache_hits",
                "Requests answered by a known verdict, or by another's work on it.",
                verdicts.hits,
            ),
            ("cache_misses", "Cacheable requests that had to be computed.", verdicts.misses),
            ("model_swaps", "How often another version of the model took over.", self._reloader.swaps),
            ("model_load_failures", "Versions that could not be loaded.", self._reloader.failures),
        ):
            yield CounterMetricFamily(f"deepfake_{name}", text, value=value)


def _listen(host: str, port: int, registry: CollectorRegistry) -> WSGIServer:
    try:
        server, _ = start_http_server(port, host, registry)
    except OSError as error:
        problem = f"cannot listen on {host}:{port} for metrics: {error.strerror}"
        raise CannotListen(problem, "Choose another --metrics-port.") from error
    server.RequestHandlerClass = _Scrape
    log.info("metrics at http://%s:%s/metrics", host, server.server_port)
    return server


class _Scrape(WSGIRequestHandler):
    """Ends without a word, and without keeping its thread, where the other side is gone or says nothing.

    By default there would be a traceback on standard error for each check by a load balancer that resets its
    connection.
    """

    timeout = _SILENCE_SECONDS

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """No line for each scrape."""
