"""Many media over one stream, with both clients."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import DetectionError, Detector
from clients.requests import UPLOAD_ABOVE
from deepfake.v1 import detector_pb2 as pb
from tests.clients.either import Client
from tests.clients.fake_detector import MAX_MESSAGE_BYTES, UNAVAILABLE, FakeDetector
from tests.waiting import until


@pytest.mark.parametrize("in_flight", [2, 3, 32])
def test_many_are_matched_to_their_answers(
    client: Client, fake_detector: FakeDetector, in_flight: int
) -> None:
    media = [b"fake 0", b"real 1", b"broken 2", "nowhere.jpg", b"fake 4", b"fake 5", b"real 6"]
    answers = client("detect_many", media, in_flight=in_flight)
    assert sorted(str(medium) for medium, _ in answers) == sorted(map(str, media))
    told = {
        medium: answer.code if isinstance(answer, DetectionError) else answer.verdict
        for medium, answer in answers
    }
    assert told == {
        b"fake 0": pb.VERDICT_FAKE,
        b"real 1": pb.VERDICT_REAL,
        b"broken 2": "CORRUPT_MEDIA",
        "nowhere.jpg": "UNREADABLE_FILE",
        b"fake 4": pb.VERDICT_FAKE,
        b"fake 5": pb.VERDICT_FAKE,
        b"real 6": pb.VERDICT_REAL,
    }
    assert fake_detector.calls == ["DetectStream"]


def test_what_is_too_large_for_the_stream_goes_beside_it(client: Client, fake_detector: FakeDetector) -> None:
    large = b"fake" + bytes(MAX_MESSAGE_BYTES)
    answers = dict(client("detect_many", [b"real", large]))
    assert answers[large].verdict == pb.VERDICT_FAKE
    assert answers[b"real"].verdict == pb.VERDICT_REAL
    assert sorted(fake_detector.calls) == ["DetectStream", "DetectUpload"]


def test_many_media_of_one_subject_may_be_too_large_for_the_stream(
    client: Client, fake_detector: FakeDetector
) -> None:
    together = [b"fake" + bytes(UPLOAD_ABOVE // 2)] * 2
    answers = client("detect_many", [b"real", together, b"fake"])
    assert [answer.verdict for medium, answer in answers if medium is together] == [pb.VERDICT_FAKE]
    assert len(answers) == 3
    assert sorted(fake_detector.calls) == ["Detect", "DetectStream"]


def test_a_stream_that_ends_too_early_raises(client: Client, fake_detector: FakeDetector) -> None:
    fake_detector.forgets_last = True
    with pytest.raises(DetectionError, match="1 media unanswered"):
        client("detect_many", [b"real", b"real", b"real"])


def test_a_stream_that_breaks_raises(client: Client, fake_detector: FakeDetector) -> None:
    # Whenever it breaks, also while media are being sent: grpc.aio would often say INTERNAL then.
    for _ in range(10):
        fake_detector.failures = [UNAVAILABLE]
        with pytest.raises(DetectionError, match="SHUTTING_DOWN"):
            client("detect_many", [b"real" * 10_000] * 8, connect={"retries": 0})


def test_who_waits_while_another_thread_closes_is_told(fake_detector: FakeDetector) -> None:
    fake_detector.go_on.clear()
    detector = Detector(fake_detector.address)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(detector.detect, b"real")
        until(lambda: fake_detector.calls)
        detector.close()
        with pytest.raises(DetectionError) as caught:
            waiting.result(10)
    assert caught.value.code == "CANCELLED"
