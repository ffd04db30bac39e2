"""When both clients try again, how long they wait, and where they turn."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2

from benchmarks.processes import free_port
from clients import DetectionError, Detector, channel
from clients.requests import UPLOAD_ABOVE
from deepfake.v1 import detector_pb2 as pb
from tests.clients.either import Client, async_client, sync_client
from tests.clients.fake_detector import MAX_MESSAGE_BYTES, UNAVAILABLE, FakeDetector, failure, fake_server
from tests.waiting import until

OVERLOADED = failure(
    grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "the queue is full", "Retry later.", retry_after=0.25
)
BEHIND_A_PROXY = status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message="the replica died")
# What gRPC says of calls that a server had not taken up yet when it stopped.
KILLED = status_pb2.Status(code=grpc.StatusCode.CANCELLED.value[0], message="CANCELLED")


@pytest.mark.parametrize("status", [UNAVAILABLE, OVERLOADED, BEHIND_A_PROXY, KILLED])
def test_calls_are_tried_again(client: Client, fake_detector: FakeDetector, status: Any) -> None:
    fake_detector.failures = [status, status]
    assert client("detect", b"fake").verdict == pb.VERDICT_FAKE
    assert fake_detector.calls == ["Detect"] * 3


def test_uploads_are_tried_again_whole(client: Client, fake_detector: FakeDetector) -> None:
    fake_detector.failures = [UNAVAILABLE]
    content = b"fake" + bytes(2 * UPLOAD_ABOVE)
    assert client("detect", content).verdict == pb.VERDICT_FAKE
    assert fake_detector.calls == ["DetectUpload"] * 2
    assert fake_detector.requests[0].media[0].content == content


@pytest.mark.parametrize(("size", "method"), [(1, "Detect"), (UPLOAD_ABOVE + 1, "DetectUpload")])
def test_nothing_waits_beyond_the_timeout(
    client: Client, fake_detector: FakeDetector, size: int, method: str
) -> None:
    fake_detector.failures = [
        failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "full", retry_after=600.0)
    ]
    with pytest.raises(DetectionError, match="OVERLOADED"):
        client("detect", bytes(size), timeout=5.0)
    assert fake_detector.calls == [method]


def test_broken_uploads_are_not_tried_again(client: Client, fake_detector: FakeDetector) -> None:
    with pytest.raises(DetectionError, match="CORRUPT_MEDIA"):
        client("detect", b"broken" + bytes(UPLOAD_ABOVE))
    assert fake_detector.calls == ["DetectUpload"]


def test_retries_end(client: Client, fake_detector: FakeDetector) -> None:
    fake_detector.failures = [OVERLOADED] * 9
    with pytest.raises(DetectionError) as caught:
        client("detect", b"real", connect={"retries": 1})
    assert fake_detector.calls == ["Detect"] * 2
    assert caught.value.code == "OVERLOADED"
    assert caught.value.message == "the queue is full"
    assert caught.value.hint == "Retry later."
    assert caught.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.retry_after == 0.25


def test_who_is_told_when_to_come_back_does_so_until_the_timeout(
    client: Client, fake_detector: FakeDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(channel, "LONGEST_PAUSE", 0.02)
    overloaded = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "full", retry_after=0.02)
    fake_detector.failures = [overloaded] * 12 + [UNAVAILABLE] * 2
    assert client("detect", b"real").verdict == pb.VERDICT_REAL
    fake_detector.failures = [UNAVAILABLE] * 9
    with pytest.raises(DetectionError, match="SHUTTING_DOWN"):
        client("detect", b"real")
    assert fake_detector.calls == ["Detect"] * (15 + 6)


def test_a_source_that_is_away_is_asked_for_a_few_times_as_nobody_knows_when_it_comes_back(
    client: Client, fake_detector: FakeDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "FIRST_PAUSE", 0.01)
    away = failure(grpc.StatusCode.UNAVAILABLE, "SOURCE_UNAVAILABLE", "no answer", retry_after=0.02)
    fake_detector.failures = [away] * 9
    with pytest.raises(DetectionError, match="SOURCE_UNAVAILABLE"):
        client("detect", "https://example.org/a.jpg")
    assert fake_detector.calls == ["Detect"] * 6


def test_without_retries_there_is_one_try(client: Client, fake_detector: FakeDetector) -> None:
    fake_detector.failures = [UNAVAILABLE]
    with pytest.raises(DetectionError, match="SHUTTING_DOWN"):
        client("detect", b"real", connect={"retries": 0})
    assert fake_detector.calls == ["Detect"]


def test_what_the_server_itself_failed_at_is_not_tried_again(
    client: Client, fake_detector: FakeDetector
) -> None:
    fake_detector.failures = [failure(grpc.StatusCode.INTERNAL, "ENGINE_FAILED", "no number")]
    with pytest.raises(DetectionError, match="ENGINE_FAILED"):
        client("detect", b"real")
    assert fake_detector.calls == ["Detect"]


def test_what_is_wrong_with_a_file_is_not_tried_again(client: Client, fake_detector: FakeDetector) -> None:
    with pytest.raises(DetectionError) as caught:
        client("detect", b"broken")
    assert fake_detector.calls == ["Detect"]
    assert str(caught.value) == "CORRUPT_MEDIA: nothing can be decoded. Check that the file opens."
    assert caught.value.status is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.retry_after is None


@pytest.mark.parametrize("size", [1, UPLOAD_ABOVE + 1])
@pytest.mark.parametrize("timeout", [0.2, 0])
def test_deadlines_hold(client: Client, fake_detector: FakeDetector, timeout: float, size: int) -> None:
    fake_detector.go_on.clear()
    start = time.monotonic()
    with pytest.raises(DetectionError) as caught:
        client("detect", bytes(size), connect={"timeout": 5}, timeout=timeout)
    assert time.monotonic() - start < 4
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert "timeout" in caught.value.hint


@pytest.mark.parametrize("timeout", [1e12, float("inf")])
def test_a_timeout_may_be_endless(client: Client, timeout: float) -> None:
    client("model", timeout=timeout)


@pytest.mark.parametrize("connect", [sync_client, async_client])
def test_nobody_there_is_said_with_a_hint(connect: Callable[[str], Client]) -> None:
    with pytest.raises(DetectionError) as caught:
        connect("127.0.0.1:1")("model", connect={"retries": 0})
    assert caught.value.code == "UNAVAILABLE"
    assert "running" in caught.value.hint


def test_a_request_that_is_too_large_is_not_tried_again(client: Client, fake_detector: FakeDetector) -> None:
    with pytest.raises(DetectionError) as caught:
        client("detect", [bytes(MAX_MESSAGE_BYTES // 2 + 1)] * 2)
    assert caught.value.code == "MESSAGE_TOO_LARGE"
    assert "fewer media" in caught.value.hint
    assert not caught.value.retryable
    assert fake_detector.calls == []


def test_all_servers_behind_a_name_are_used() -> None:
    with fake_server() as one, fake_server() as other:
        both = f"ipv4:{one.address},{other.address}"
        with Detector(both) as detector:
            until(lambda: detector.detect(b"real") and one.requests and other.requests)


def test_a_server_that_was_away_is_found_again_at_once() -> None:
    port = free_port()
    with ExitStack() as stack:
        with fake_server(port) as first:
            detectors = [stack.enter_context(Detector(first.address)) for _ in range(8)]
            for detector in detectors:
                detector.detect(b"real")
        # So long that those who try again wait as long as they ever do between their attempts.
        time.sleep(9)
        with fake_server(port), ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda detector: detector.detect(b"real"), detectors))
    assert len(answers) == 8
