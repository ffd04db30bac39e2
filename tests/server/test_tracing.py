"""Traces as a collector gets them: OTLP over gRPC on the loopback interface."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider

from clients import Detector
from deepfake.v1 import detector_pb2 as pb
from server import tracing
from server.telemetry import Telemetry
from tests import media
from tests.media_requests import detect_request
from tests.running_server import running_server, stub_of
from tests.tiny_graph import VERSION

PHOTO = media.photo_jpeg(64, 48)
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def Export(self, request: Any, context: object) -> Any:
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    @property
    def spans(self) -> list[Span]:
        resources = [resource for request in self.requests for resource in request.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    @property
    def by_name(self) -> dict[str, Span]:
        return {span.name: span for span in self.spans}


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector, and the URL that it listens on."""
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def attributes(span: Span) -> dict[str, Any]:
    kinds = {"string_value", "int_value", "bool_value"}
    return {
        entry.key: getattr(entry.value, kind)
        if (kind := entry.value.WhichOneof("value")) in kinds
        else [item.string_value for item in entry.value.array_value.values]
        for entry in span.attributes
    }


def test_a_request_is_a_span_with_one_for_each_stage(models: Path) -> None:
    # Closing the server sends what is left.
    with collecting() as (collector, url):
        with running_server(models, otlp_endpoint=url) as server, stub_of(server) as stub:
            answer = stub.Detect(detect_request(PHOTO, request_id="mine"), timeout=30)
        spans = collector.by_name
    assert set(spans) == {"Detect", "decode", "queue", "inference"}
    request = spans["Detect"]
    assert request.kind == Span.SPAN_KIND_SERVER
    assert not request.parent_span_id
    assert request.status.code == Status.STATUS_CODE_UNSET
    described = attributes(request)
    assert described["deepfake.request_id"] == "mine"
    assert described["deepfake.outcome"] == pb.Verdict.Name(answer.verdict).removeprefix("VERDICT_")
    assert described["deepfake.model.version"] == VERSION
    assert described["deepfake.media_kinds"] == ["image"]
    assert described["deepfake.rows.image"] == answer.modalities[0].rows
    for stage in ("decode", "queue", "inference"):
        span = spans[stage]
        assert (span.trace_id, span.parent_span_id) == (request.trace_id, request.span_id)
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano
    assert spans["decode"].end_time_unix_nano <= spans["queue"].start_time_unix_nano
    assert attributes(spans["decode"]) == {"deepfake.bytes": len(PHOTO)}
    assert attributes(spans["inference"]) == {"deepfake.batch_requests": 1}


def test_the_callers_trace_goes_on_and_its_decision_counts(models: Path) -> None:
    with collecting() as (collector, url):
        settings = {"otlp_endpoint": url, "trace_sample_ratio": 0.0}
        with running_server(models, **settings) as server, stub_of(server) as stub:
            for flags in ("01", "00"):
                sent = (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-{flags}"),)
                stub.Detect(detect_request(PHOTO), timeout=30, metadata=sent)
            stub.Detect(detect_request(PHOTO), timeout=30)
        roots = [span for span in collector.spans if span.name == "Detect"]
    assert [(span.trace_id.hex(), span.parent_span_id.hex()) for span in roots] == [(TRACE_ID, PARENT_ID)]


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "deepfake-detector"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=mine"}, "mine"),
    ],
)
def test_the_service_has_the_name_that_the_environment_gives_it(
    models: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    with collecting() as (collector, url):
        with running_server(models, otlp_endpoint=url) as server, stub_of(server) as stub:
            stub.Detect(detect_request(PHOTO), timeout=30)
        resource = collector.requests[0].resource_spans[0].resource
    assert {entry.key: entry.value.string_value for entry in resource.attributes}["service.name"] == name


def test_a_failed_request_says_why_and_keeps_secrets(models: Path) -> None:
    bad = pb.Medium(content=b"no format", name="https://u:hunter2@host/a.jpg?X-Amz-Signature=abc")
    with collecting() as (collector, url):
        with running_server(models, otlp_endpoint=url) as server, stub_of(server) as stub:
            named = detect_request(bad, request_id="https://u:hunter2@host/b.jpg")
            call = stub.Detect.future(named, timeout=30)
            assert call.code() == grpc.StatusCode.INVALID_ARGUMENT
        span = collector.by_name["Detect"]
        everything = b"".join(request.SerializeToString() for request in collector.requests)
    assert attributes(span)["deepfake.reason"] == "UNSUPPORTED_MEDIA"
    assert attributes(span)["deepfake.request_id"] == "https://host/b.jpg"
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert "https://host/a.jpg" in span.status.message
    for secret in (b"hunter2", b"X-Amz", b"no format"):
        assert secret not in everything


def test_a_name_that_is_not_utf8_costs_no_span(models: Path, tmp_path: Path) -> None:
    with collecting() as (collector, url):
        settings = {"otlp_endpoint": url, "file_roots": [tmp_path]}
        with running_server(models, **settings) as server, stub_of(server) as stub:
            gone = pb.Medium(uri=f"file://{tmp_path}/%ff.jpg")
            call = stub.Detect.future(detect_request(gone), timeout=30)
            assert call.code() == grpc.StatusCode.NOT_FOUND
        assert r"\udcff.jpg" in collector.by_name["Detect"].status.message


def test_the_python_client_hands_its_trace_on(models: Path) -> None:
    tracer = TracerProvider().get_tracer("caller")
    with collecting() as (collector, url):
        with running_server(models, otlp_endpoint=url) as server, Detector(server.address) as detector:
            with tracer.start_as_current_span("caller") as span:
                detector.detect(PHOTO)
            detector.detect(PHOTO)
        roots = [root for root in collector.spans if root.name == "Detect"]
    caller = span.get_span_context()
    assert roots[0].trace_id.hex() == trace.format_trace_id(caller.trace_id)
    assert roots[0].parent_span_id.hex() == trace.format_span_id(caller.span_id)
    assert roots[1].trace_id != roots[0].trace_id


def test_a_collector_that_is_not_there_costs_no_request(models: Path) -> None:
    with running_server(models, otlp_endpoint="http://127.0.0.1:1") as server, stub_of(server) as stub:
        assert stub.Detect(detect_request(PHOTO), timeout=30).verdict


def test_a_collector_that_hangs_does_not_keep_the_server_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_EXPORT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traces = tracing.Tracing(f"http://127.0.0.1:{silent.getsockname()[1]}", 1.0)
        telemetry = Telemetry([traces.request])
        for _ in range(2000):  # several exports
            with telemetry.request("Detect"):
                pass
        start = time.monotonic()
        traces.close()
        assert time.monotonic() - start < 2
