"""The Open Inference Protocol as Triton's own client speaks it, beside our server in one process."""

import itertools
import queue
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
import pytest
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from scipy.special import expit
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from open_inference.v2 import inference_pb2 as pb
from open_inference.v2.inference_pb2_grpc import GRPCInferenceServiceStub
from server.app import Server
from server.engine.batch import assemble, empty_rows
from server.engine.manifest import Manifest
from tests.failures import failure
from tests.media_requests import decoded_picture, detect_request
from tests.metrics import samples
from tests.raw_requests import PHOTO, assert_answers, message, run_bare, subjects, triton_inputs
from tests.running_server import running_server, stub_of
from tests.tiny_graph import put_version
from tests.unfinished_calls import unfinished
from tests.waiting import until


def test_the_server_and_its_model_are_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("tiny", "2")
    assert not client.is_model_ready("other")


def test_the_model_describes_itself(client: Any, bare: ort.InferenceSession) -> None:
    assert "statistics" in client.get_server_metadata().extensions
    metadata = client.get_model_metadata("tiny")
    assert (metadata.platform, list(metadata.versions)) == ("onnxruntime_onnx", ["1"])
    assert [tensor.name for tensor in metadata.inputs] == [tensor.name for tensor in bare.get_inputs()]
    assert [tensor.name for tensor in metadata.outputs] == [tensor.name for tensor in bare.get_outputs()]
    frames = metadata.inputs[0]
    assert (frames.name, frames.datatype, list(frames.shape)) == ("frames", "UINT8", [-1, 32, 32, 3])
    config = client.get_model_config("tiny").config
    assert (config.name, config.backend, config.max_batch_size) == ("tiny", "onnxruntime", 0)
    assert [list(tensor.dims) for tensor in config.input] == [list(t.shape) for t in metadata.inputs]
    assert [list(tensor.dims) for tensor in config.output] == [list(t.shape) for t in metadata.outputs]
    assert all(tensor.optional for tensor in config.input)
    (model,) = client.get_model_repository_index().models
    assert (model.name, model.version, model.state) == ("tiny", "1", "READY")


def test_a_repository_with_a_name_is_empty(stub: GRPCInferenceServiceStub) -> None:
    assert not stub.RepositoryIndex(pb.RepositoryIndexRequest(repository_name="elsewhere")).models


@pytest.mark.parametrize("ask", ["get_model_metadata", "get_model_config", "get_inference_statistics"])
@pytest.mark.parametrize("model", [("other", ""), ("tiny", "2")])
def test_another_model_is_not_found(client: Any, ask: str, model: tuple[str, str]) -> None:
    with pytest.raises(InferenceServerException) as caught:
        getattr(client, ask)(*model)
    assert caught.value.status() == "StatusCode.NOT_FOUND"


@pytest.mark.parametrize("count", [1, 4])
def test_scores_are_those_of_the_bare_graph(
    client: Any, bare: ort.InferenceSession, manifest: Manifest, count: int
) -> None:
    feeds = subjects(manifest, count)
    result = client.infer("tiny", triton_inputs(feeds), request_id="seven")
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("seven", "tiny", "1")
    assert [output.name for output in response.outputs] == [output.name for output in bare.get_outputs()]
    assert_answers(result, run_bare(bare, feeds))


def test_outputs_can_be_chosen_and_ordered(
    client: Any, bare: ort.InferenceSession, manifest: Manifest
) -> None:
    feeds = subjects(manifest, 2)
    names = ["clip_probability", "fake_probability"]
    result = client.infer(
        "tiny", triton_inputs(feeds), outputs=[triton.InferRequestedOutput(n) for n in names]
    )
    assert [output.name for output in result.get_response().outputs] == names
    expected = run_bare(bare, feeds)
    assert_answers(result, {name: expected[name] for name in names})


def test_a_picture_alone_needs_no_other_inputs(
    client: Any, bare: ort.InferenceSession, manifest: Manifest
) -> None:
    nothing_else = assemble([empty_rows(manifest)], manifest)
    weights = np.array([[0.4, 0.4, 0.2]], np.float32)
    answer = client.infer("tiny", triton_inputs(PHOTO))
    assert_answers(answer, run_bare(bare, {**nothing_else, **PHOTO, "weights": weights}))


def test_typed_contents(
    stub: GRPCInferenceServiceStub, bare: ort.InferenceSession, manifest: Manifest
) -> None:
    feeds = subjects(manifest, 2)
    request = pb.ModelInferRequest(model_name="tiny")
    fields = {"UINT8": "uint_contents", "INT64": "int64_contents", "FP32": "fp32_contents"}
    for name, array in feeds.items():
        datatype = np_to_triton_dtype(array.dtype)
        tensor = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if array.size:
            getattr(tensor.contents, fields[datatype]).extend(array.ravel().tolist())
    response = stub.ModelInfer(request, timeout=30)
    probability = np.frombuffer(response.raw_output_contents[0], "<f4")
    np.testing.assert_allclose(probability, run_bare(bare, feeds)["fake_probability"], atol=1e-5)
    (frames,) = (tensor for tensor in request.inputs if tensor.name == "frames")
    frames.contents.uint_contents[0] += 256
    with pytest.raises(grpc.RpcError, match="numbers that are not UINT8"):
        stub.ModelInfer(request, timeout=30)


def test_parameters_come_back(stub: GRPCInferenceServiceStub, manifest: Manifest) -> None:
    request = message(subjects(manifest, 1), id="a")
    request.parameters["trace"].string_param = "xyz"
    request.parameters["priority"].uint64_param = 1
    request.parameters["timeout"].uint64_param = 2**64 - 1
    assert dict(stub.ModelInfer(request, timeout=30).parameters) == dict(request.parameters)


def test_a_time_out_in_the_request_is_kept(client: Any, manifest: Manifest) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer("tiny", triton_inputs(subjects(manifest, 1)), timeout=1)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert client.infer("tiny", triton_inputs(subjects(manifest, 1)), timeout=30_000_000)


def test_another_model_cannot_be_asked(stub: GRPCInferenceServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(pb.ModelInferRequest(model_name="other"), timeout=30)
    assert failure(caught.value) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


def test_a_stream_answers_in_order_and_a_failure_stops_no_other(
    client: Any, bare: ort.InferenceSession, manifest: Manifest
) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    feeds = [subjects(manifest, 1 + number % 3, seed=number) for number in range(40)]
    for number, inputs in enumerate(feeds):
        client.async_stream_infer(
            "other" if number == 7 else "tiny", triton_inputs(inputs), request_id=str(number)
        )
    received = [answers.get(timeout=30) for _ in feeds]
    client.stop_stream()
    for number, (result, error) in enumerate(received):
        if number == 7:
            assert "NOT_FOUND" in str(error)
            continue
        assert error is None
        assert result.get_response().id == str(number)
        assert_answers(result, run_bare(bare, feeds[number]))


def test_a_failure_in_a_stream_says_which_request_and_why(stub: GRPCInferenceServiceStub) -> None:
    bad = pb.ModelInferRequest(model_name="other", id="seven")
    (answer,) = stub.ModelStreamInfer(iter([bad]), timeout=30)
    assert answer.infer_response.id == "seven"
    assert answer.error_message.startswith("NOT_FOUND: model 'other'")


def test_a_caller_who_does_not_read_is_not_worked_for(models: Path) -> None:
    """No answers pile up in the server but those of the requests that it may work on at once."""
    rows = np.zeros(256, np.int64)
    request = message({"frames": PHOTO["frames"], "image_index": rows, "image_request": rows})
    # With the probe, the client's buffers would grow with the machine's speed.
    small_buffers = [("grpc.http2.bdp_probe", 0)]
    with (
        running_server(models, max_stream_concurrency=2) as server,
        triton.InferenceServerClient(server.address) as observer,
        grpc.insecure_channel(server.address, small_buffers) as channel,
    ):

        def scored() -> int:
            (stats,) = observer.get_inference_statistics().model_stats
            return int(stats.inference_count)

        call = GRPCInferenceServiceStub(channel).ModelStreamInfer(itertools.repeat(request), timeout=60)
        assert all(next(call).infer_response.outputs for _ in range(5))
        before = 0
        while before < scored() < 1000:
            before = scored()
            time.sleep(1)
        call.cancel()
        assert scored() < 1000


def test_a_stream_whose_caller_has_gone_is_not_worked_for(models: Path) -> None:
    patient = {"engine_workers": 1, "max_batch_size": 8, "max_queue_delay_microseconds": 60_000_000}
    with running_server(models, metrics_port=0, **patient) as server:

        def held() -> float:
            (sample,) = (s for s in samples(server.metrics_port) if s.name == "deepfake_media_bytes")
            return sample.value

        with grpc.insecure_channel(server.address) as channel:
            requests = [message(PHOTO)] * 3
            begin = GRPCInferenceServiceStub(channel).ModelStreamInfer
            with unfinished(begin, *requests):
                until(lambda: held() >= 3 * sum(array.nbytes for array in PHOTO.values()))
            until(lambda: held() == 0, 20)


def typed_rows(count: int) -> pb.ModelInferRequest:
    """A request for `count` rows of one picture, whose indices take a byte each in the message."""
    request = pb.ModelInferRequest(model_name="tiny")
    frames = request.inputs.add(name="frames", datatype="UINT8", shape=PHOTO["frames"].shape)
    frames.contents.uint_contents.extend(PHOTO["frames"].ravel().tolist())
    for name in ("image_index", "image_request"):
        rows = request.inputs.add(name=name, datatype="INT64", shape=[count])
        rows.contents.int64_contents.extend([0] * count)
    return request


def test_tensors_and_their_copies_are_limited(models: Path) -> None:
    sizes = {"max_media_bytes": 5_000, "max_message_bytes": 5_000, "max_queue_bytes": 16_000}
    with (
        running_server(models, max_inference_rows=300, **sizes) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(typed_rows(256), timeout=30)
        assert failure(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "MEDIA_LIMIT_EXCEEDED")
        # gRPC keeps no messages of a stream: one copy less.
        fits, large = stub.ModelStreamInfer(map(typed_rows, (256, 512)), timeout=30)
        assert not fits.error_message
        assert "with their copies" in large.error_message
        (many,) = stub.ModelStreamInfer(iter([typed_rows(301)]), timeout=30)
        assert "there are 301 pictures, frames of clips and windows, more than 300" in many.error_message


def test_statistics_are_true(models: Path, manifest: Manifest) -> None:
    feeds = subjects(manifest, 3)
    with running_server(models) as server, triton.InferenceServerClient(server.address) as client:
        (before,) = client.get_inference_statistics("tiny").model_stats
        assert (before.inference_count, before.execution_count, before.last_inference) == (0, 0, 0)
        for _ in range(4):
            client.infer("tiny", triton_inputs(feeds))
        with stub_of(server) as detector:
            detector.Detect(detect_request(decoded_picture()), timeout=30)
        (after,) = client.get_inference_statistics().model_stats
    stats = after.inference_stats
    assert (
        after.inference_count == stats.success.count == stats.queue.count == stats.compute_infer.count == 13
    )
    assert 5 <= after.execution_count <= 13
    assert sum(batch.batch_size * batch.compute_infer.count for batch in after.batch_stats) == 13
    assert sum(batch.compute_infer.count for batch in after.batch_stats) == after.execution_count
    assert abs(stats.success.ns - stats.queue.ns - stats.compute_infer.ns) <= 3
    assert min(stats.queue.ns, stats.compute_infer.ns, after.last_inference) > 0


def test_both_services_share_a_run(models: Path) -> None:
    # The engine waits for company until there are two, or the test fails on its time-outs.
    patient = {"engine_workers": 1, "max_batch_size": 2, "max_queue_delay_microseconds": 60_000_000}
    with (
        running_server(models, **patient) as server,
        triton.InferenceServerClient(server.address) as client,
        stub_of(server) as detector,
    ):
        judged = detector.Detect.future(detect_request(decoded_picture()), timeout=30)
        answer = client.infer("tiny", triton_inputs(PHOTO), client_timeout=30)
        assert answer.as_numpy("fake_probability")[0] == pytest.approx(judged.result().fake_probability)
        (stats,) = client.get_inference_statistics().model_stats
    assert [(batch.batch_size, batch.compute_infer.count) for batch in stats.batch_stats] == [(2, 1)]


def test_another_version_takes_over(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    put_version(folder, "1")
    with (
        running_server(folder, model_poll_seconds=0.05) as server,
        triton.InferenceServerClient(server.address) as client,
    ):
        assert client.infer("tiny", triton_inputs(PHOTO)).get_response().model_version == "1"
        put_version(folder, "2")
        until(lambda: client.is_model_ready("tiny", "2"))
        assert list(client.get_model_metadata("tiny").versions) == ["2"]
        (unused,) = client.get_inference_statistics("tiny").model_stats
        assert (unused.version, unused.inference_count) == ("2", 0)
        assert client.infer("tiny", triton_inputs(PHOTO)).get_response().model_version == "2"
        with pytest.raises(InferenceServerException, match="version 1 is not served"):
            client.infer("tiny", triton_inputs(PHOTO), model_version="1")


def test_many_callers_of_both_services_get_their_own_answers(
    server: Server, stub: GRPCInferenceServiceStub, bare: ort.InferenceSession, manifest: Manifest
) -> None:
    feeds = [subjects(manifest, 1 + seed % 4, seed) for seed in range(8)]
    expected = [run_bare(bare, inputs)["fake_probability"] for inputs in feeds]
    shades = (0, 99, 255)
    with stub_of(server) as detector, ThreadPoolExecutor(16) as callers:

        def detect(shade: int) -> float:
            return detector.Detect(detect_request(decoded_picture(shade)), timeout=60).fake_probability

        alone = [detect(shade) for shade in shades]
        raw = callers.map(lambda inputs: stub.ModelInfer(message(inputs), timeout=60), feeds * 10)
        judged = callers.map(detect, shades * 30)
        for response, probability in zip(raw, expected * 10, strict=True):
            answer = np.frombuffer(response.raw_output_contents[0], "<f4")
            np.testing.assert_allclose(answer, probability, atol=1e-5)
        np.testing.assert_allclose(list(judged), alone * 30, atol=1e-5)


def test_a_client_in_a_process_of_its_own(server: Server) -> None:
    code = """
import sys, numpy as np, tritonclient.grpc as triton
client = triton.InferenceServerClient(sys.argv[1])
audio = triton.InferInput("audio", [1, 1600], "FP32")
audio.set_data_from_numpy(np.full((1, 1600), 0.5, np.float32))
owner = triton.InferInput("audio_request", [1], "INT64")
owner.set_data_from_numpy(np.zeros(1, np.int64))
print(client.infer("tiny", [audio, owner]).as_numpy("fake_probability")[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, server.address], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) == pytest.approx(expit(2), abs=1e-5)


def test_tritons_messages_are_understood_in_its_own_process(server: Server) -> None:
    """Its generated stubs and ours are both loaded here, and both work."""
    assert service_pb2.DESCRIPTOR.package == pb.DESCRIPTOR.package == "inference"
    request = service_pb2.ModelInferRequest.FromString(message(PHOTO, id="x").SerializeToString())
    assert pb.ModelInferRequest.FromString(request.SerializeToString()) == message(PHOTO, id="x")


def test_health_and_reflection_know_the_service(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        asked = health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService")
        answer = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.ModelInferRequest"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="deepfake.v1.Detector"),
        ]
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed, inference, deepfake = stub.ServerReflectionInfo(iter(requests), timeout=30)
    names = {service.name for service in listed.list_services_response.service}
    assert {"inference.GRPCInferenceService", "deepfake.v1.Detector"} <= names
    assert inference.file_descriptor_response.file_descriptor_proto
    assert deepfake.file_descriptor_response.file_descriptor_proto


def test_it_can_be_switched_off(models: Path) -> None:
    with (
        running_server(models, open_inference=False) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=30)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
