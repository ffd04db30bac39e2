"""Where a video is judged is known to whoever has the secret, and to nobody else."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from tests import media
from tests.media_requests import detect_request
from tests.running_server import running_server, stub_of

VIDEO = media.video_mp4(4.0)
SOUND = media.speech_mp3(20.0)
RAW = pb.Medium(audio=pb.RawAudio(pcm=bytes(4 * 16_000), sample_rate=16_000))


@pytest.fixture(scope="module")
def stubs(models: Path) -> Iterator[list[DetectorStub]]:
    """Of servers with the secrets none, one, one and two."""
    with ExitStack() as stack:
        servers = [running_server(models, sampling_secret=secret) for secret in (None, "one", "one", "two")]
        yield [stack.enter_context(stub_of(stack.enter_context(server))) for server in servers]


def times(stub: DetectorStub, content: bytes, *others: pb.Medium) -> list[float]:
    """At which the rows of the first medium begin."""
    answer = stub.Detect(detect_request(content, *others, timeline=True), timeout=60)
    return [entry.start_seconds for entry in answer.timeline if entry.media_index == 0]


def test_each_file_is_judged_where_the_secret_says(stubs: list[DetectorStub]) -> None:
    usual, one, again, two = (times(stub, VIDEO) for stub in stubs)
    assert one == again
    assert usual != one != two
    assert times(stubs[1], VIDEO + b"\0") != one


def test_sound_too_and_beside_what_is_decoded_already(stubs: list[DetectorStub]) -> None:
    usual, one, *_ = (times(stub, SOUND) for stub in stubs)
    assert usual != one
    assert times(stubs[1], SOUND, RAW) == one
