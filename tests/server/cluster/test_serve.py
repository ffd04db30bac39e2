"""The detector behind Ray Serve's gRPC proxy, on a cluster of real processes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from benchmarks.processes import free_port
from clients import Detector
from deepfake.v1 import detector_pb2 as pb
from deepfake.v1 import detector_pb2_grpc as pb_grpc
from server.app import Server
from server.settings import Settings
from tests.failures import failure
from tests.media import photo_jpeg
from tests.media_requests import chunk, detect_request, upload
from tests.ray_cluster import kill_one, ray_cluster, workers
from tests.running_server import stub_of
from tests.waiting import until

PHOTO = photo_jpeg(160, 120)
REPLICAS = 2
REPLICA = "ServeReplica:detector:Detector"


@pytest.fixture(scope="module")
def target(models: Path) -> Iterator[str]:
    """Address of the proxy in front of two replicas."""
    serve = pytest.importorskip("ray.serve")
    from server.cluster.serve import deployment

    port, http_port = free_port(), free_port()
    add_servicer = f"{pb_grpc.__name__}.{pb_grpc.add_DetectorServicer_to_server.__name__}"
    with ray_cluster():
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": http_port},
            grpc_options={"port": port, "grpc_servicer_functions": [add_servicer]},
        )
        # Little room in each, as the proxy fills the replica on its own machine first.
        settings = Settings(models=models, provider="cpu", max_queue_size=8)
        two = {"min_replicas": REPLICAS, "max_replicas": REPLICAS}
        serve.run(deployment(settings).options(autoscaling_config=two).bind(settings), name="detector")
        yield f"localhost:{port}"
        serve.shutdown()


@pytest.fixture(scope="module")
def proxied(target: str) -> Iterator[pb_grpc.DetectorStub]:
    with grpc.insecure_channel(target) as channel:
        yield pb_grpc.DetectorStub(channel)


def test_it_answers_like_the_server(proxied: pb_grpc.DetectorStub, server: Server) -> None:
    request = detect_request(PHOTO, request_id="one", timeline=True)
    answer = proxied.Detect(request)
    with stub_of(server) as stub:
        expected = stub.Detect(request)
    for message in (answer, expected):
        message.ClearField("timing")
    assert answer == expected


def test_it_tells_its_model(proxied: pb_grpc.DetectorStub) -> None:
    assert proxied.GetModel(pb.GetModelRequest()).name == "tiny"


def test_errors_keep_their_status_code_and_hint(proxied: pb_grpc.DetectorStub) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        proxied.Detect(detect_request(b"no picture"))
    assert failure(raised.value) == (grpc.StatusCode.INVALID_ARGUMENT, "UNSUPPORTED_MEDIA")


def test_the_callers_deadline_is_kept(proxied: pb_grpc.DetectorStub) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        proxied.Detect(detect_request(PHOTO), timeout=0.0001)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_uploads_arrive_whole(proxied: pb_grpc.DetectorStub) -> None:
    answer = proxied.DetectUpload(iter(upload(PHOTO, 1000, size_bytes=len(PHOTO))))
    assert answer.media[0].size_bytes == len(PHOTO)


def test_uploads_fail_like_other_calls(proxied: pb_grpc.DetectorStub) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        proxied.DetectUpload(iter([chunk(PHOTO)]))
    assert failure(raised.value) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


def test_streams_answer_each_request(proxied: pb_grpc.DetectorStub) -> None:
    requests = [
        detect_request(PHOTO if number % 2 else b"none", request_id=str(number)) for number in range(6)
    ]
    answers = {answer.id: answer.WhichOneof("result") for answer in proxied.DetectStream(iter(requests))}
    assert answers == {str(number): "response" if number % 2 else "error" for number in range(6)}


def test_what_the_proxy_cannot_guard_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ray.serve")
    from server.cluster.serve import app

    tokens = tmp_path / "tokens"
    tokens.write_text("caller 0123456789abcdef")
    with pytest.raises(ValueError, match="tokens"):
        app(Settings(tokens=tokens))


def test_a_replica_that_is_killed_loses_nothing(target: str) -> None:
    def replicas() -> set[int]:
        return {process.pid for process in workers(REPLICA)}

    before = replicas()
    assert len(before) == REPLICAS
    with Detector(target, retries=20) as detector, ThreadPoolExecutor(14) as pool:
        answers = [pool.submit(detector.detect, PHOTO) for _ in range(200)]
        answers[20].result()
        kill_one(REPLICA)
        probabilities = {answer.result().fake_probability for answer in answers}
    assert len(probabilities) == 1
    until(lambda: replicas() != before and len(replicas()) == len(before))
