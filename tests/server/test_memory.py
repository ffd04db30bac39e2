"""What is left in memory of requests that failed, before Python has looked for circles."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from open_inference.v2 import inference_pb2 as inference
from tests.media_requests import detect_request
from tests.media_requests import upload as parts
from tests.running_server import running_server
from tests.server_process import server_process
from tests.unfinished_calls import unfinished

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not tried on other systems")

SIZE = 8 * 2**20
COUNT = 24
JUNK = os.urandom(SIZE)


def resident_bytes(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def detect(channel: grpc.Channel) -> Any:
    return DetectorStub(channel).Detect.future(detect_request(JUNK), timeout=60)


def album(second: bytes | pb.Medium) -> Callable[[grpc.Channel], Any]:
    """Two media of one subject, of which neither can be judged."""

    def call(channel: grpc.Channel) -> Any:
        return DetectorStub(channel).Detect.future(detect_request(JUNK, second), timeout=60)

    return call


def upload(channel: grpc.Channel) -> Any:
    return DetectorStub(channel).DetectUpload.future(iter(parts(JUNK, 2**20)), timeout=60)


def infer(channel: grpc.Channel) -> Any:
    request = inference.ModelInferRequest(model_name="nobody", raw_input_contents=[JUNK])
    request.inputs.add(name="frames", datatype="UINT8", shape=[SIZE])
    call: Any = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer", inference.ModelInferRequest.SerializeToString
    )
    return call.future(request, timeout=60)


def no_message(method: str) -> Callable[[grpc.Channel], Any]:
    """A unary call with what protobuf cannot read."""

    def call(channel: Any) -> Any:
        return channel.unary_unary(method).future(b"\xff" + JUNK, timeout=60)

    return call


def no_message_in_a_stream(channel: Any) -> Any:
    call = channel.stream_unary("/deepfake.v1.Detector/DetectStream")
    return call.future(iter([b"\xff" + JUNK]), timeout=60)


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize(
    "call",
    [
        *(detect, upload, infer, no_message_in_a_stream),
        album(b"junk"),
        album(pb.Medium(uri="file:///nowhere")),
        no_message("/deepfake.v1.Detector/Detect"),
        no_message("/grpc.health.v1.Health/Check"),
    ],
)
def test_media_of_failed_requests_are_not_kept(models: Path, call: Callable[[grpc.Channel], Any]) -> None:
    with (
        running_server(models) as server,
        grpc.insecure_channel(server.address, [("grpc.max_send_message_length", -1)]) as channel,
    ):
        assert call(channel).exception()
        before = resident_bytes(os.getpid())
        for _ in range(COUNT):
            assert call(channel).exception()
        assert resident_bytes(os.getpid()) - before < COUNT * SIZE / 2


def test_streams_that_wait_keep_no_media(models: Path) -> None:
    # In a process of its own, as clients keep what they have sent.
    command = [sys.executable, "-m", "server", "--models", str(models), "--cache-max-bytes", "0"]
    with (
        server_process(command) as (server, address),
        grpc.insecure_channel(address, [("grpc.max_send_message_length", -1)]) as channel,
        ExitStack() as waiting,
    ):
        asked = detect_request(JUNK, request_id="a")
        stream = partial(DetectorStub(channel).DetectStream, timeout=60)
        for number in range(COUNT + 1):
            answers = waiting.enter_context(unfinished(stream, asked))
            assert next(answers).error.message
            if number == 0:
                before = resident_bytes(server.pid)
        assert resident_bytes(server.pid) - before < COUNT * SIZE / 2
