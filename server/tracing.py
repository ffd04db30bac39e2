"""Traces: a span for each request and one for each of its stages, sent to an OpenTelemetry collector."""

import threading
import time

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server import logs
from server.detect.request import Detection
from server.telemetry import FAILED, Record

_EXPORT_SECONDS = 5


class Tracing:
    """Makes the spans of a request when it has ended, so that those not sampled cost next to nothing.

    Args:
        endpoint: URL of the collector; https:// for TLS.
        ratio: share of requests that are traced, in [0, 1]; a caller's `traceparent` decides for its own.
    """

    def __init__(self, endpoint: str, ratio: float) -> None:
        exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_SECONDS)
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(ratio),
            resource=_resource(),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(__name__)
        self._propagator = TraceContextTextMapPropagator()

    def request(self, record: Record) -> None:
        """The spans of a request that ended. Of media there is nothing in them but kinds and sizes."""
        epoch = time.time() - time.perf_counter()
        span = self._tracer.start_span(
            record.method,
            self._propagator.extract(dict(record.metadata)),
            SpanKind.SERVER,
            start_time=_nanoseconds(record.start + epoch),
        )
        if not span.is_recording():
            return
        _describe(span, record)
        inside = set_span_in_context(span)
        for stage, begin, end, about in record.timing.laps:
            attributes = {f"deepfake.{name}": value for name, value in about.items()}
            began = _nanoseconds(begin + epoch)
            lap = self._tracer.start_span(stage, inside, attributes=attributes, start_time=began)
            lap.end(_nanoseconds(end + epoch))
        span.end(_nanoseconds(record.start + record.seconds + epoch))

    def close(self) -> None:
        """Sends what is left, if the collector takes it in time. Blocks."""
        # By itself it would try for half a minute, while the server's supervisor waits.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(_EXPORT_SECONDS)


def _resource() -> Resource:
    # By itself the SDK would put this name over that of OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES.
    return Resource.create({SERVICE_NAME: "deepfake-detector"}).merge(OTELResourceDetector().detect())


def _describe(span: Span, record: Record) -> None:
    span.set_attribute("deepfake.request_id", _text(logs.request_id.get()))
    span.set_attribute("deepfake.outcome", record.outcome)
    if record.outcome == FAILED:
        span.set_attribute("deepfake.reason", record.reason)
        span.set_status(Status(StatusCode.ERROR, _text(f"{record.reason}: {record.message}")))
    if record.detection:
        _describe_answer(span, record.detection)


def _describe_answer(span: Span, detection: Detection) -> None:
    span.set_attributes(
        {
            "deepfake.model.name": detection.model_name,
            "deepfake.model.version": detection.model_version,
            "deepfake.media_kinds": [str(facts.kind) for facts in detection.facts],
            "deepfake.cached": detection.cached,
            **{f"deepfake.rows.{score.modality}": score.rows for score in detection.modalities},
        }
    )


def _text(text: str) -> str:
    # Half a surrogate pair, as in the name of a file that is not UTF-8, would cost all spans sent together.
    return logs.redacted(text).encode(errors="backslashreplace").decode()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
