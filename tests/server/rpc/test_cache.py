"""Duplicates through the whole server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from tests import media
from tests.media_requests import decoded_picture, detect_request
from tests.running_server import running_server, stub_of

PHOTO = media.photo_jpeg(320, 240)
VIDEO = media.video_mp4(2.0)


@pytest.fixture
def stub(models: Path, media_folder: Path) -> Iterator[DetectorStub]:
    settings = {"cache_max_bytes": 10**6, "file_roots": (media_folder,)}
    with running_server(models, **settings) as server, stub_of(server) as stub:
        yield stub


def without(answer: pb.DetectResponse, *fields: str) -> pb.DetectResponse:
    copy = pb.DetectResponse()
    copy.CopyFrom(answer)
    for field in ("timing", "cached", *fields):
        copy.ClearField(field)  # type: ignore[arg-type]
    return copy


def test_the_same_bytes_get_the_same_answer_whatever_their_name(stub: DetectorStub) -> None:
    first = stub.Detect(detect_request(pb.Medium(content=VIDEO, name="a.mp4")), timeout=30)
    second = stub.Detect(detect_request(pb.Medium(content=VIDEO, name="b.mp4")), timeout=30)
    assert (first.cached, second.cached) == (False, True)
    assert (first.media[0].name, second.media[0].name) == ("a.mp4", "b.mp4")
    assert without(first, "media") == without(second, "media")
    timing = second.timing
    assert (timing.decode_seconds, timing.queue_seconds, timing.inference_seconds) == (0, 0, 0)
    assert timing.total_seconds > 0


def test_what_a_medium_is_stated_to_be_is_part_of_the_question(stub: DetectorStub) -> None:
    right, wrong = (
        detect_request(pb.Medium(content=PHOTO, kind=kind))
        for kind in (pb.MEDIA_KIND_IMAGE, pb.MEDIA_KIND_AUDIO)
    )
    for _ in range(2):
        assert stub.Detect(right, timeout=30).verdict
        with pytest.raises(grpc.RpcError, match="stated to be audio"):
            stub.Detect(wrong, timeout=30)


def test_details_that_nobody_asked_for_before_are_there(stub: DetectorStub) -> None:
    stub.Detect(detect_request(PHOTO), timeout=30)
    detailed = detect_request(PHOTO, heatmap=True)
    assert stub.Detect(detailed, timeout=30).timeline[0].heatmap.values


def test_a_uri_is_read_each_time_and_its_bytes_are_known(stub: DetectorStub, media_folder: Path) -> None:
    file = media_folder / "changes.jpg"
    file.write_bytes(PHOTO)
    by_uri = detect_request(pb.Medium(uri=file.as_uri()))
    first, second = (stub.Detect(by_uri, timeout=30) for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    assert second.media[0].source.sha256 == first.media[0].source.sha256 != ""
    assert stub.Detect(detect_request(PHOTO), timeout=30).cached
    file.write_bytes(media.photo_jpeg(320, 240, seed=5))
    third = stub.Detect(by_uri, timeout=30)
    assert not third.cached
    assert third.fake_probability != first.fake_probability


def test_a_broken_file_is_refused_again_under_its_own_name(stub: DetectorStub) -> None:
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(grpc.RpcError, match=name):
            stub.Detect(detect_request(pb.Medium(content=PHOTO[:200], name=name)), timeout=30)


def test_concurrent_duplicates_are_computed_once(stub: DetectorStub) -> None:
    request = detect_request(VIDEO)
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda _: stub.Detect(request, timeout=30), range(16)))
    assert sum(not answer.cached for answer in answers) == 1
    assert len({answer.fake_probability for answer in answers}) == 1


def test_decoded_input_is_computed_each_time(stub: DetectorStub) -> None:
    picture = decoded_picture()
    answers = [stub.Detect(detect_request(picture), timeout=30) for _ in range(2)]
    assert not any(answer.cached for answer in answers)
    assert not stub.Detect(detect_request(picture, PHOTO), timeout=30).cached


def test_nor_is_it_known_beside_a_file_that_is(stub: DetectorStub) -> None:
    black, white = (
        stub.Detect(detect_request(PHOTO, decoded_picture(shade)), timeout=30) for shade in (0, 255)
    )
    assert not white.cached
    assert white.fake_probability > black.fake_probability


def test_priority_does_not_change_the_answer(stub: DetectorStub) -> None:
    assert not stub.Detect(detect_request(PHOTO, priority=pb.PRIORITY_BATCH), timeout=30).cached
    assert stub.Detect(detect_request(PHOTO, priority=pb.PRIORITY_INTERACTIVE), timeout=30).cached
