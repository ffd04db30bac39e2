"""Messages that are none, or would become far more than they are."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from open_inference.v2 import inference_pb2
from server.app import Server
from tests import media
from tests.failures import failure
from tests.media_requests import detect_request
from tests.running_server import running_server, stub_of

INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
PHOTO: Any = detect_request(media.photo_jpeg(64, 48), request_id="photo")
LARGE: Any = detect_request(bytes(100_000))
BROKEN = {
    "no message": b"\xff" * 20,
    "a million media": bytes((0x12, 0)) * 1_000_000,
}
DETECT, STREAM, UPLOAD = (
    f"/deepfake.v1.Detector/{name}" for name in ("Detect", "DetectStream", "DetectUpload")
)
INFER, INFER_STREAM = (
    f"/inference.GRPCInferenceService/{name}" for name in ("ModelInfer", "ModelStreamInfer")
)
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with running_server(models, max_message_bytes=4 * 2**20) as server:
        yield server


def bare(channel: Any, method: str, raw: bytes) -> grpc.RpcError:
    """What a call with this as its message fails with."""
    with pytest.raises(grpc.RpcError) as caught:
        # Of whatever kind the method is: on the wire, one message is a stream of one.
        list(channel.stream_stream(method)(iter([raw]), timeout=30))
    return caught.value


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(
    "method", [DETECT, STREAM, UPLOAD, INFER, INFER_STREAM, REFLECTION, "/grpc.health.v1.Health/Check"]
)
def test_a_message_that_is_none_is_refused(server: Server, method: str, raw: bytes) -> None:
    with grpc.insecure_channel(server.address) as channel:
        assert failure(bare(channel, method, raw)) == INVALID
        assert DetectorStub(channel).Detect(PHOTO, timeout=30).verdict


@pytest.mark.parametrize("method", [DETECT, STREAM, UPLOAD, INFER, INFER_STREAM, REFLECTION])
def test_the_log_tells_of_a_message_that_is_none(
    server: Server, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "server.access_log"), grpc.insecure_channel(server.address) as channel:
        bare(channel, method, BROKEN["no message"])
    (line,) = (record.getMessage() for record in caplog.records if record.name == "server.access_log")
    assert line.startswith(f"{method.rpartition('/')[2]} INVALID_REQUEST")


BROKEN_REQUESTS = {
    "small, broken off": PHOTO.SerializeToString()[:-1],
    "large, broken off": LARGE.SerializeToString()[:-1],
    "a medium longer than any message": b"\x12\xff\xff\xff\xff\x0f",
    "an id that is no UTF-8": b"\x0a\x02\xff\xfe",
    "a medium with half a million parts": bytes((0x12, 0x80, 0x80, 0x40)) + bytes((0x3A, 0)) * 2**19,
}


@pytest.mark.parametrize("raw", BROKEN_REQUESTS.values(), ids=BROKEN_REQUESTS)
@pytest.mark.parametrize("method", [DETECT, STREAM])
def test_a_request_that_is_none_is_refused(server: Server, method: str, raw: bytes) -> None:
    with grpc.insecure_channel(server.address) as channel:
        assert failure(bare(channel, method, raw)) == INVALID


def test_what_a_stream_has_asked_before_is_answered(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stream: Any = channel.stream_stream(STREAM)
        answers = stream(iter([PHOTO.SerializeToString(), b"\xff" * 20]), timeout=30)
        assert pb.DetectStreamResponse.FromString(next(answers)).response.verdict
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
    assert failure(caught.value) == INVALID


def test_options_are_not_counted_by_the_million(server: Server) -> None:
    many = detect_request(*PHOTO.media, modalities=[pb.MODALITY_IMAGE] * 1_000_000)
    with stub_of(server) as stub, pytest.raises(grpc.RpcError, match="more than 16 values") as caught:
        stub.Detect(many, timeout=30)
    assert failure(caught.value) == INVALID


def test_parameters_are_not_sent_back_by_the_million(server: Server) -> None:
    request = inference_pb2.ModelInferRequest(model_name="tiny")
    for number in range(1000):
        request.parameters[str(number)].bool_param = True
    with grpc.insecure_channel(server.address) as channel:
        error = bare(channel, INFER, request.SerializeToString())
    assert failure(error) == INVALID
    assert "parameters" in str(error)
