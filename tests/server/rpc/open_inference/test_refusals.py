"""What the graph must not see is refused with the right code, whatever it is, and costs nothing else."""

from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from open_inference.v2 import inference_pb2 as pb
from open_inference.v2.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.failures import failure
from tests.raw_requests import PHOTO, message


def changed(**fields: Any) -> pb.ModelInferRequest:
    """A valid request with something else in its first input."""
    request = message(PHOTO)
    request.inputs[0].MergeFrom(pb.ModelInferRequest.InferInputTensor(**fields))
    return request


def input_of(name: str, datatype: str, *shape: int) -> pb.ModelInferRequest.InferInputTensor:
    return pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)


def reshaped(*shape: int) -> pb.ModelInferRequest:
    request = message(PHOTO)
    request.inputs[0].shape[:] = shape
    return request


def with_parameter(name: str, **values: Any) -> pb.ModelInferRequest:
    request = message(PHOTO)
    request.parameters[name].MergeFrom(pb.InferParameter(**values))
    return request


def with_output(name: str, *more: str, **parameters: str) -> pb.ModelInferRequest:
    request = message(PHOTO)
    for wanted in (name, *more):
        output = request.outputs.add(name=wanted)
        for key, value in parameters.items():
            output.parameters[key].string_param = value
    return request


def typed(datatype: str, shape: list[int], **contents: Any) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="weights", datatype=datatype, shape=shape, contents=pb.InferTensorContents(**contents)
    )
    return pb.ModelInferRequest(model_name="tiny", inputs=[tensor])


SHARED = pb.InferParameter(string_param="region")

REFUSED = {
    "too few bytes for the shape": reshaped(2, 32, 32, 3),
    "a negative size": reshaped(-1, 32, 32, 3),
    "a shape whose product overflows": reshaped(2**62, 32, 32, 3),
    "two shapes that cancel out": reshaped(-1, -32, 32, 3),
    "more dimensions than an array can have": reshaped(*[1] * 100, 32, 32, 3),
    "sizes that no array can have": message(
        {}, inputs=[input_of("audio", "FP32", 0, 2**62, 2**62)], raw_input_contents=[b""]
    ),
    "sizes that no typed array can have": message({}, inputs=[input_of("audio", "FP32", 0, 2**62, 2**62)]),
    "a name that fills the error": changed(name="é" * 100_000),
    "another shape of the same bytes": reshaped(3, 32, 32, 1),
    "another type of the same bytes": changed(datatype="INT8"),
    "bytes": changed(datatype="BYTES"),
    "a type that does not exist": changed(datatype="COMPLEX"),
    "another name": changed(name="pixels"),
    "an input twice": message({}, inputs=[input_of("audio", "FP32", 0, 1600)] * 2),
    "fewer raw contents than inputs": message(
        {}, inputs=[input_of("audio", "FP32", 0, 1600)] * 2, raw_input_contents=[b""]
    ),
    "raw and typed contents": changed(contents=pb.InferTensorContents(uint_contents=[1])),
    "shared memory": changed(parameters={"shared_memory_region": SHARED}),
    "an index out of range": message({**PHOTO, "image_index": np.array([1])}),
    "a negative index": message({**PHOTO, "image_index": np.array([-1])}),
    "a subject out of range": message({**PHOTO, "image_request": np.array([2**62])}),
    "more subjects than allowed": message({**PHOTO, "weights": np.ones((1000, 3), np.float32)}),
    "no number": message({"weights": np.full((1, 3), np.nan, np.float32)}),
    "nothing in a typed tensor": typed("FP32", [1, 3]),
    "too few numbers": typed("FP32", [1, 3], fp32_contents=[1, 2]),
    "numbers of another type": typed("FP32", [1, 3], fp64_contents=[1, 2, 3]),
    "numbers in two fields": typed("FP32", [1, 3], fp32_contents=[1, 2, 3], int_contents=[1]),
    "numbers in two fields, first the right one": typed(
        "FP32", [1, 3], fp32_contents=[1, 2, 3], fp64_contents=[1]
    ),
    "numbers that do not fit the type": typed("UINT8", [1, 3], uint_contents=[1, 2, 300]),
    "an output that does not exist": with_output("verdict"),
    "an output twice": with_output("fake_probability", "fake_probability"),
    "an output in shared memory": with_output("fake_probability", shared_memory_region="x"),
    "an output as classes": with_output("fake_probability", classification="2"),
    "a negative time-out": with_parameter("timeout", int64_param=-1),
    "a negative priority": with_parameter("priority", int64_param=-1),
    "a time-out in words": with_parameter("timeout", string_param="soon"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_bad_request_is_refused_and_costs_nothing_else(stub: GRPCInferenceServiceStub, reason: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(REFUSED[reason], timeout=30)
    assert failure(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert stub.ModelInfer(message(PHOTO), timeout=30).outputs


NAMES = ["frames", "image_index", "image_request", "clip_index", "clip_request", "audio", "audio_request"]
SIZES = st.one_of(st.integers(0, 3), st.sampled_from([5, 32, 1600]), st.integers(-(2**63), 2**63 - 1))


@st.composite
def wild_requests(draw: st.DrawFn) -> pb.ModelInferRequest:
    """Requests whose parts are each plausible, and seldom fit each other."""
    request = pb.ModelInferRequest(model_name="tiny", id=draw(st.text(max_size=5)))
    for name in draw(st.lists(st.sampled_from([*NAMES, "weights"]), max_size=8)):
        request.inputs.add(
            name=name,
            datatype=draw(st.sampled_from(["UINT8", "INT64", "FP32", "BOOL", "BYTES", ""])),
            shape=draw(st.lists(SIZES, max_size=5)),
        )
        match draw(st.sampled_from(["raw", "typed", "none"])):
            case "raw":
                request.raw_input_contents.append(draw(st.binary(max_size=64)))
            case "typed":
                numbers = draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8))
                request.inputs[-1].contents.int64_contents.extend(numbers)
    for name in draw(st.lists(st.sampled_from(["fake_probability", "x"]), max_size=2)):
        request.outputs.add(name=name)
    return request


def outcome(stub: GRPCInferenceServiceStub, request: pb.ModelInferRequest) -> str:
    """OK, or the stable code of the error."""
    try:
        stub.ModelInfer(request, timeout=30)
    except grpc.RpcError as error:
        return failure(error)[1]
    return "OK"


@given(wild_requests())
@settings(max_examples=300)
def test_no_request_is_a_surprise(stub: GRPCInferenceServiceStub, request: pb.ModelInferRequest) -> None:
    assert outcome(stub, request) in ("OK", "INVALID_REQUEST")


@given(st.binary(max_size=50), st.integers(0, 200))
@settings(max_examples=300)
def test_no_broken_request_is_a_surprise(stub: GRPCInferenceServiceStub, insert: bytes, place: int) -> None:
    """Bytes written over those of a valid request."""
    valid = message(PHOTO).SerializeToString()
    try:
        request = pb.ModelInferRequest.FromString(valid[:place] + insert + valid[place + len(insert) :])
    except DecodeError:  # gRPC refuses it by itself
        reject()
    assert outcome(stub, request) in ("OK", "INVALID_REQUEST", "MODEL_NOT_FOUND")
