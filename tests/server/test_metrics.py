"""/metrics as Prometheus reads it: over HTTP, parsed, from a server that has answered."""

import asyncio
import shutil
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from server import metrics
from server.app import Server
from server.errors import CannotListen
from server.rpc.detector import Detector
from server.rpc.open_inference.service import OpenInference
from server.settings import Settings
from server.telemetry import Record, Telemetry
from tests import media
from tests.media_requests import chunk, detect_request, header
from tests.metrics import samples
from tests.raw_requests import PHOTO as ROWS
from tests.raw_requests import message
from tests.running_server import running_server, stub_of
from tests.tiny_graph import NAME, VERSION, put_version
from tests.unfinished_calls import unfinished_upload
from tests.waiting import until

Value = Callable[..., float]
PHOTO = media.photo_jpeg(64, 48)
SOUND = media.speech_mp3(0.5)


def scraped(server: Server) -> Value:
    """The value of a sample by its name and labels; 0 if it is not there."""
    values = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for sample in samples(server.metrics_port)
    }
    return lambda sample, **labels: values.get((sample, frozenset(labels.items())), 0.0)


def test_requests_stages_and_batches_are_counted(models: Path) -> None:
    with running_server(models, metrics_port=0) as server, stub_of(server) as stub:
        stub.Detect(detect_request(PHOTO, SOUND), timeout=30)
        answer = stub.Detect(detect_request(PHOTO), timeout=30)
        verdict = pb.Verdict.Name(answer.verdict).removeprefix("VERDICT_")
        value = scraped(server)
    both = (
        value("deepfake_requests_total", method="Detect", outcome=name)
        for name in ("REAL", "FAKE", "INCONCLUSIVE")
    )
    assert sum(both) == 2
    assert value("deepfake_requests_total", method="Detect", outcome=verdict) >= 1
    assert value("deepfake_request_duration_seconds_count", method="Detect") == 2
    assert value("deepfake_request_duration_seconds_bucket", method="Detect", le="+Inf") == 2
    for stage in ("decode", "queue", "inference"):
        assert value("deepfake_stage_duration_seconds_count", stage=stage) == 2
        assert value("deepfake_stage_duration_seconds_sum", stage=stage) > 0
    assert value("deepfake_stage_duration_seconds_count", stage="fetch") == 0
    assert value("deepfake_batch_requests_sum") == 2
    batches = value("deepfake_batch_requests_count")
    assert batches == value("deepfake_batch_duration_seconds_count")
    assert batches == value("deepfake_batch_cost_seconds_count")
    image_rows = sum(score.rows for score in answer.modalities)
    assert value("deepfake_batch_rows_sum", modality="image") == 2 * image_rows
    assert value("deepfake_batch_rows_sum", modality="audio") > 0
    assert value("deepfake_batch_rows_sum", modality="video") == 0
    assert value("deepfake_decode_busy_seconds_total") > 0


def test_estimates_stand_beside_what_batches_took() -> None:
    counted = metrics.Metrics("127.0.0.1", 0)
    jobs: list[Any] = [SimpleNamespace(cost=0.25, rows=SimpleNamespace(counts=(1, 2, 3))) for _ in range(2)]
    counted.batch(jobs, 4.0)
    sums = {sample.name: sample.value for sample in samples(counted.port)}
    counted.close()
    assert sums["deepfake_batch_cost_seconds_sum"] == 0.5
    assert sums["deepfake_batch_duration_seconds_sum"] == 4.0


def test_whatever_becomes_of_messages_is_there_from_the_start() -> None:
    counted = metrics.Metrics("127.0.0.1", 0)
    messages = [sample for sample in samples(counted.port) if sample.name == "deepfake_job_messages_total"]
    counted.close()
    outcomes = {sample.labels["outcome"]: sample.value for sample in messages}
    assert outcomes == dict.fromkeys(("DELIVERED", "RETRIED", "DEAD_LETTER", "LEFT", "NOT_FETCHED"), 0)


def test_what_gives_no_verdict_is_counted_as_ok(models: Path) -> None:
    with running_server(models, metrics_port=0) as server, stub_of(server) as stub:
        stub.GetModel(pb.GetModelRequest(), timeout=30)
        value = scraped(server)
    assert value("deepfake_requests_total", method="GetModel", outcome="OK") == 1


def test_failures_are_counted_by_their_code(models: Path) -> None:
    with running_server(models, metrics_port=0) as server, stub_of(server) as stub:
        for content in (b"not a picture", b"not a sound either"):
            with pytest.raises(grpc.RpcError):
                stub.Detect(detect_request(content), timeout=30)
        list(stub.DetectStream(iter([detect_request(PHOTO)]), timeout=30))
        with pytest.raises(grpc.RpcError):
            stub.DetectUpload(iter([chunk(b"headless")]), timeout=30)
        value = scraped(server)
    assert value("deepfake_requests_total", method="Detect", outcome="FAILED") == 2
    assert value("deepfake_request_failures_total", method="Detect", reason="UNSUPPORTED_MEDIA") == 2
    for method in ("DetectStream", "DetectUpload"):
        assert value("deepfake_request_failures_total", method=method, reason="INVALID_REQUEST") == 1


def test_live_values_are_read_when_asked(models: Path) -> None:
    with running_server(models, metrics_port=0, engine_workers=3, decode_workers=1) as server:
        value = scraped(server)
    assert value("deepfake_model_info", name=NAME, version=VERSION, provider="CPUExecutionProvider") == 1
    assert (value("deepfake_engine_workers"), value("deepfake_decode_workers")) == (3, 1)
    assert value("process_resident_memory_bytes") > 0
    for idle in (
        "requests_in_flight",
        "media_bytes",
        "queue_depth",
        "engine_workers_busy",
        "decode_queue_depth",
    ):
        assert value(f"deepfake_{idle}") == 0


def test_as_many_decoders_as_cores_are_allowed(models: Path) -> None:
    with running_server(models, metrics_port=0, decode_workers=0, cores=3) as server:
        assert scraped(server)("deepfake_decode_workers") == 3


def test_versions_that_could_not_be_loaded_are_seen_from_the_start(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    broken = folder / NAME / str(int(VERSION) + 1) / "model.onnx"
    broken.parent.mkdir()
    broken.write_bytes(b"no graph")
    with running_server(folder, metrics_port=0, model_poll_seconds=0.05) as server:
        assert scraped(server)("deepfake_model_versions_passed_over") == 1
        # One that is lower than what serves is of no interest.
        put_version(folder, str(int(VERSION) + 2))
        until(lambda: scraped(server)("deepfake_model_swaps_total") == 1)
        assert scraped(server)("deepfake_model_versions_passed_over") == 0
        # Until that is taken away, with all that could serve instead: after a restart nothing would.
        shutil.rmtree(folder / NAME / str(int(VERSION) + 2))
        shutil.rmtree(folder / NAME / VERSION)
        until(lambda: scraped(server)("deepfake_model_versions_passed_over") == 1)


def test_the_cache_is_counted(models: Path) -> None:
    with running_server(models, metrics_port=0, cache_max_bytes=10**6) as server, stub_of(server) as stub:
        for _ in range(3):
            stub.Detect(detect_request(PHOTO), timeout=30)
        value = scraped(server)
    assert (value("deepfake_cache_hits_total"), value("deepfake_cache_misses_total")) == (2, 1)
    assert value("deepfake_cache_entries") == 1
    assert value("deepfake_cache_bytes") > 0


def test_servers_in_one_process_count_for_themselves(models: Path) -> None:
    with (
        running_server(models, metrics_port=0) as busy,
        running_server(models, metrics_port=0) as idle,
        stub_of(busy) as stub,
    ):
        stub.Detect(detect_request(PHOTO), timeout=30)
        assert scraped(busy)("deepfake_batch_requests_count") == 1
        assert scraped(idle)("deepfake_batch_requests_count") == 0


def test_no_port_no_metrics(server: Server) -> None:
    assert server.metrics_port is None


def test_a_taken_port_says_which(models: Path) -> None:
    with (
        running_server(models, metrics_port=0) as server,
        pytest.raises(CannotListen, match="metrics"),
        running_server(models, metrics_port=server.metrics_port),
    ):
        pass


def test_connections_that_ask_nothing_are_closed_without_a_word(
    models: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics._Scrape, "timeout", 0.2)
    with running_server(models, metrics_port=0) as server:
        address = ("127.0.0.1", server.metrics_port or 0)
        with socket.create_connection(address, timeout=10) as silent:
            assert silent.recv(1) == b""
        with socket.create_connection(address, timeout=10) as reset:
            time.sleep(0.1)
            # As some load balancers end their checks.
            reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert scraped(server)("deepfake_engine_workers") > 0
    assert "Traceback" not in capfd.readouterr().err


UNFINISHED = (header(size_bytes=1000), chunk(b"x" * 10))


def _uploads(server: Server, outcome: str) -> float:
    return scraped(server)("deepfake_requests_total", method="DetectUpload", outcome=outcome)


def test_an_upload_that_its_caller_gives_up_is_no_mistake(models: Path) -> None:
    with running_server(models, metrics_port=0) as server, stub_of(server) as stub:
        with unfinished_upload(stub, *UNFINISHED):
            until(lambda: scraped(server)("deepfake_media_bytes") > 0)
        until(lambda: _uploads(server, "CANCELLED") + _uploads(server, "FAILED") == 1)
        assert _uploads(server, "CANCELLED") == 1


def test_an_upload_whose_deadline_passes_before_it_is_whole_is_late(models: Path) -> None:
    with running_server(models, metrics_port=0) as server, stub_of(server) as stub:
        with unfinished_upload(stub, *UNFINISHED, seconds=1) as call:
            assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        until(lambda: _uploads(server, "CANCELLED") + _uploads(server, "FAILED") == 1)
        assert _uploads(server, "FAILED") == 1
        late = {"method": "DetectUpload", "reason": "DEADLINE_EXCEEDED"}
        assert scraped(server)("deepfake_request_failures_total", **late) == 1


def test_a_call_that_grpc_ends_at_its_deadline_is_late_and_not_given_up(models: Path) -> None:
    video = detect_request(media.video_mp4(4.0, width=640, height=480))

    def failed() -> float:
        value = scraped(server)
        return sum(
            value("deepfake_request_failures_total", method="Detect", reason=reason)
            for reason in ("DEADLINE_EXCEEDED", "OVERLOADED")
        )

    with running_server(models, metrics_port=0, decode_workers=1) as server, stub_of(server) as stub:
        ahead = [stub.Detect.future(video, timeout=60) for _ in range(6)]
        # On a busy machine one may end before the server has read it, or before the server's clock says so.
        while not failed() and not all(call.done() for call in ahead):
            late = stub.Detect.future(video, timeout=0.1)
            assert late.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert all(call.result() for call in ahead)
        assert failed()


async def test_a_call_that_is_cancelled_at_its_deadline_was_late() -> None:
    async def ended(*_: object) -> None:
        raise asyncio.CancelledError

    records: list[Record] = []
    pipeline: Any = SimpleNamespace(detect=ended, admit=ended)
    others: Any = (None, Telemetry([records.append]), Settings())
    detector, raw = Detector(pipeline, *others), OpenInference(pipeline, *others)
    for seconds in (0.0, 60.0):
        context: Any = SimpleNamespace(invocation_metadata=tuple, time_remaining=lambda left=seconds: left)
        with pytest.raises(asyncio.CancelledError):
            await detector.Detect(detect_request(PHOTO), context)
        with pytest.raises(asyncio.CancelledError):
            await raw.ModelInfer(message(ROWS), context)
    assert [(record.outcome, record.reason) for record in records[::2]] == [
        ("FAILED", "DEADLINE_EXCEEDED"),
        ("CANCELLED", ""),
    ]
    assert [record.outcome for record in records[1::2]] == ["FAILED", "CANCELLED"]
