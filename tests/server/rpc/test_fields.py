from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake.v1 import detector_pb2 as pb
from open_inference.v2 import inference_pb2
from server.errors import InvalidRequest
from server.rpc.fields import check
from tests import media

Tensor, Contents = inference_pb2.ModelInferRequest.InferInputTensor, inference_pb2.InferTensorContents
FIELDS = 10_000
PHOTO: Any = pb.DetectRequest(id="photo", media=[pb.Medium(content=media.photo_jpeg(64, 48))])


@given(st.binary(max_size=200), st.integers(0, 3))
def test_no_bytes_are_a_surprise(tail: bytes, place: int) -> None:
    whole = pb.DetectRequest(id="x" * 70_000, media=PHOTO.media).SerializeToString()
    mutated = whole[: len(whole) - place * 50] + tail
    try:
        check(mutated, pb.DetectRequest.DESCRIPTOR, FIELDS)
    except InvalidRequest:
        return
    assert len(mutated) > 70_000


def test_what_clients_send_passes() -> None:
    weights = pb.FusionWeights(image=1)
    options = pb.DetectOptions(modalities=[pb.MODALITY_IMAGE], weights=weights, threshold=0.5)
    frames = pb.RawFrames(rgb=bytes(100_000), count=1, height=2, width=3)
    one = pb.DetectRequest(id="a", media=[pb.Medium(frames=frames), *[PHOTO.media[0]] * 15], options=options)
    check(one.SerializeToString(), pb.DetectRequest.DESCRIPTOR, FIELDS)
    typed = inference_pb2.ModelInferRequest()
    typed.inputs.add(
        shape=[100_000], contents={"uint_contents": range(100_000), "fp32_contents": [1.5] * 9999}
    )
    check(typed.SerializeToString(), inference_pb2.ModelInferRequest.DESCRIPTOR, FIELDS)


def test_fields_are_counted_with_those_of_messages_within() -> None:
    message: Any = pb.DetectRequest(media=[pb.Medium(name="n" * 20)] * (FIELDS // 2))
    check(message.SerializeToString(), message.DESCRIPTOR, FIELDS)
    message.id = "one more"
    with pytest.raises(InvalidRequest, match="more than 10000 fields"):
        check(message.SerializeToString(), message.DESCRIPTOR, FIELDS)


@pytest.mark.parametrize(
    "message",
    [
        inference_pb2.ModelInferRequest(inputs=[Tensor(contents=Contents(int64_contents=[1] * 600_000))] * 2),
        inference_pb2.ModelInferRequest(inputs=[Tensor(shape=[1] * 1_200_000)]),
        pb.DetectRequest(options=pb.DetectOptions(modalities=[pb.MODALITY_IMAGE] * 1_200_000)),
    ],
    ids=["contents", "shape", "modalities"],
)
def test_bytes_that_each_become_a_number_are_not_parsed(message: Any) -> None:
    with pytest.raises(InvalidRequest, match="packed numbers"):
        check(message.SerializeToString(), message.DESCRIPTOR, FIELDS)
