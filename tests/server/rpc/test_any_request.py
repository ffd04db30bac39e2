"""Whatever a caller sends that is a DetectRequest is answered, or refused with a typed error."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.errors import DetectorError
from server.rpc import convert
from server.settings import Settings
from tests import media
from tests.failures import failure

# A surprise of the server's is an INTERNAL error with the code ENGINE_FAILED.
_SURPRISES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)

numbers = st.one_of(st.sampled_from([0, 1, 2, 3, 31, 32, 33, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
enums = st.one_of(st.integers(-1, 5), st.integers(-(2**31), 2**31 - 1))
reals = st.floats(width=32)
texts = st.one_of(
    st.text(max_size=20),
    st.just("x" * 2000),
    st.sampled_from(
        ["file:///etc/passwd", "s3://bucket/key", "https://localhost/", "file://%00", "//[", ":"]
    ),
)
contents = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([media.photo_jpeg(16, 16), media.tone_wav(0.1), b"\xff\xd8\xff", b"#EXTM3U\n"]),
)
frames = st.builds(pb.RawFrames, rgb=contents, count=numbers, height=numbers, width=numbers)
whole_frames = st.integers(0, 3).map(
    lambda count: pb.RawFrames(rgb=bytes(count * 32 * 32 * 3), count=count, height=32, width=32)
)
sounds = st.builds(
    pb.RawAudio,
    pcm=st.one_of(
        contents, st.lists(reals, max_size=50).map(lambda values: np.array(values, "<f4").tobytes())
    ),
    sample_rate=st.one_of(numbers, st.just(16_000)),
)
media_ = st.one_of(
    st.builds(pb.Medium, kind=enums, name=texts),
    st.builds(pb.Medium, content=contents, kind=enums, name=texts),
    st.builds(pb.Medium, uri=texts, kind=enums),
    st.builds(pb.Medium, frames=st.one_of(frames, whole_frames)),
    st.builds(pb.Medium, audio=sounds, kind=enums),
)
weights = st.builds(pb.FusionWeights, image=reals, video=reals, audio=reals)
options = st.builds(
    pb.DetectOptions,
    modalities=st.lists(enums, max_size=4),
    threshold=st.one_of(st.none(), reals, st.floats(0, 1, width=32)),
    frames_per_video=st.one_of(st.none(), numbers),
    timeline=st.booleans(),
    heatmap=st.booleans(),
    weights=st.one_of(st.none(), weights),
)
requests = st.builds(
    pb.DetectRequest,
    id=texts,
    media=st.lists(media_, max_size=3),
    options=st.one_of(st.none(), st.just(pb.DetectOptions()), options),
)


@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(request_=requests)
def test_any_request_is_answered_or_refused_for_what_it_is(
    stub: DetectorStub, media_folder: Path, request_: pb.DetectRequest
) -> None:
    call: Any = stub.Detect.future(request_, timeout=30)
    if call.code() == grpc.StatusCode.OK:
        answer = call.result()
        assert answer.verdict
        assert not answer.HasField("fake_probability") or 0 <= answer.fake_probability <= 1
        assert len(answer.media) == len(request_.media)
    else:
        status, code = failure(call)
        assert status not in _SURPRISES, (status, code, call.details())


@settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
@given(request_=requests, seconds=st.one_of(st.none(), st.floats(-1, 1e9)))
def test_the_validator_raises_nothing_but_typed_errors(
    request_: pb.DetectRequest, seconds: float | None
) -> None:
    try:
        request = convert.to_request(request_, Settings(), seconds)
    except DetectorError:
        return
    assert len(request.media) == len(request_.media)
