"""Streams on which nothing happens, and callers who send without reading."""

import queue
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.app import Server
from server.media.decode_queue import DecodeJob
from server.media.isolation import DecodePool
from tests import media
from tests.failures import failure, hint
from tests.media_requests import detect_request
from tests.running_server import running_server, stub_of
from tests.unfinished_calls import unfinished
from tests.waiting import until

_COUNT, _BYTES = 400, 100_000
LIMITS: dict[str, Any] = {"max_stream_concurrency": 4, "stream_idle_timeout_seconds": 60}
PHOTO = media.photo_jpeg(64, 48)


@pytest.mark.parametrize("count", [0, 3])
def test_a_stream_without_work_is_ended_and_what_was_sent_before_is_answered(
    models: Path, count: int
) -> None:
    requests = [detect_request(PHOTO, request_id=str(number)) for number in range(count)]
    with (
        running_server(models, stream_idle_timeout_seconds=0.5) as server,
        stub_of(server) as stub,
        unfinished(partial(stub.DetectStream, timeout=30), *requests) as answers,
    ):
        ids = {next(answers).id for _ in range(count)}
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
    assert ids == {str(number) for number in range(count)}
    assert failure(caught.value) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_SLOW")
    assert "Open another" in hint(caught.value)


@pytest.fixture
def go_on(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is decoded before."""
    decode, go_on = DecodePool._decode, threading.Event()

    def held(pool: DecodePool, worker: Any, job: DecodeJob) -> None:
        assert go_on.wait(60)
        decode(pool, worker, job)

    monkeypatch.setattr(DecodePool, "_decode", held)
    return go_on


def test_a_request_that_takes_long_is_something_to_do(models: Path, go_on: threading.Event) -> None:
    with (
        running_server(models, stream_idle_timeout_seconds=1) as server,
        stub_of(server) as stub,
        unfinished(partial(stub.DetectStream, timeout=60), detect_request(PHOTO, request_id="a")) as answers,
    ):
        time.sleep(2)
        go_on.set()
        assert next(answers).response.verdict


def test_an_id_is_taken_until_its_request_is_answered(models: Path, go_on: threading.Event) -> None:
    request = detect_request(PHOTO, request_id="a")
    requests: queue.SimpleQueue[pb.DetectRequest | None] = queue.SimpleQueue()
    with running_server(models) as server, stub_of(server) as stub:
        answers = stub.DetectStream(iter(requests.get, None), timeout=60)
        requests.put(request)
        requests.put(request)
        refused = next(answers)
        assert (refused.id, refused.error.code) == ("a", grpc.StatusCode.INVALID_ARGUMENT.value[0])
        go_on.set()
        assert next(answers).response.verdict
        requests.put(request)
        assert next(answers).response.verdict
        requests.put(None)
        assert list(answers) == []


def test_a_caller_who_does_not_read_is_not_read(models: Path) -> None:
    with running_server(models, **LIMITS) as server, stub_of(server) as stub:
        sent, answers = _unread(server, stub)
        assert sent < _COUNT
        assert len(list(answers)) == _COUNT


def test_what_a_call_sends_ahead_is_limited(models: Path) -> None:
    with running_server(models, **LIMITS, receive_window_bytes=65_535) as server, stub_of(server) as stub:
        little, _ = _unread(server, stub)
    with (
        running_server(models, **LIMITS, receive_window_bytes=80 * _BYTES) as server,
        stub_of(server) as stub,
    ):
        much, _ = _unread(server, stub)
    assert 40 <= much - little <= 120


def _unread(server: Server, stub: Any) -> tuple[int, Any]:
    """How many requests go out while nothing is read, and the answers."""
    sent = 0

    def requests() -> Any:
        nonlocal sent
        for number in range(_COUNT):
            sent += 1
            # Errors, since they cost nothing to make; their ids fill what is buffered on the way.
            yield pb.DetectRequest(id=f"{number:0{_BYTES}}")

    answers = stub.DetectStream(requests(), timeout=60)
    # By a connection of its own.
    with grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        other = DetectorStub(channel)

        def no_more() -> bool:
            """Whether none goes out in a while in which the server does other things."""
            before = sent
            time.sleep(0.5)
            for _ in range(20):
                other.GetModel(pb.GetModelRequest(), timeout=30)
            return sent == before > 0

        until(no_more, seconds=40)
    return sent, answers
