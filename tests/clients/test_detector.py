"""Both clients against a scripted server; every test that makes sense for both runs for both."""

import asyncio
import os
import pickle
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from google.rpc import status_pb2

from clients import AsyncDetector, DetectionError, Detector
from clients.requests import UPLOAD_ABOVE
from deepfake.v1 import detector_pb2 as pb
from tests.clients.fake_detector import MAX_MESSAGE_BYTES, FakeDetector, failure, fake_server
from tests.waiting import until

UNAVAILABLE = failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "the server is stopping")
OVERLOADED = failure(
    grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "the queue is full", "Retry later.", retry_after=0.25
)
BEHIND_A_PROXY = status_pb2.Status(code=grpc.StatusCode.INTERNAL.value[0], message="the replica died")
# What gRPC says of calls that a server had not taken up yet when it stopped.
KILLED = status_pb2.Status(code=grpc.StatusCode.CANCELLED.value[0], message="CANCELLED")


class Client(Protocol):
    """Calls one method of a client that is opened for it."""

    def __call__(
        self, method: str, *args: Any, connect: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any: ...


def sync_client(address: str) -> Client:
    def call(method: str, *args: Any, connect: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        with Detector(address, **(connect or {})) as detector:
            answer = getattr(detector, method)(*args, **kwargs)
            return list(answer) if method == "detect_many" else answer

    return call


def async_client(address: str) -> Client:
    async def call_it(method: str, args: Any, connect: dict[str, Any], kwargs: Any) -> Any:
        async with AsyncDetector(address, **connect) as detector:
            answer = getattr(detector, method)(*args, **kwargs)
            return [item async for item in answer] if method == "detect_many" else await answer

    def call(method: str, *args: Any, connect: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        return asyncio.run(call_it(method, args, connect or {}, kwargs))

    return call


@pytest.fixture(params=[sync_client, async_client], ids=["sync", "async"])
def client(request: pytest.FixtureRequest, fake_detector: FakeDetector) -> Client:
    connect: Callable[[str], Client] = request.param
    return connect(fake_detector.address)


def test_a_file_is_sent_with_its_name_and_judged(
    client: Client, fake_detector: FakeDetector, tmp_path: Path
) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(b"fake face")
    answer = client("detect", path)
    assert answer.verdict == pb.VERDICT_FAKE
    assert fake_detector.requests[0].media == [pb.Medium(content=b"fake face", name="face.jpg")]


def test_bytes_uris_and_media_of_one_subject_share_a_request(
    client: Client, fake_detector: FakeDetector
) -> None:
    frames = pb.Medium(frames=pb.RawFrames(rgb=b"abc", count=1, height=1, width=1))
    client("detect", [b"real", "s3://bucket/key.mp4", frames])
    assert fake_detector.requests[0].media == [
        pb.Medium(content=b"real"),
        pb.Medium(uri="s3://bucket/key.mp4"),
        frames,
    ]


def test_options_arrive(client: Client, fake_detector: FakeDetector) -> None:
    client(
        "detect",
        b"real",
        modalities=["image", "audio"],
        threshold=0.0,
        frames_per_video=9,
        timeline=True,
        heatmap=True,
        weights={"image": 0.75, "audio": 0.25},
        priority="interactive",
    )
    assert fake_detector.requests[0].options == pb.DetectOptions(
        modalities=[pb.MODALITY_IMAGE, pb.MODALITY_AUDIO],
        threshold=0.0,
        frames_per_video=9,
        timeline=True,
        heatmap=True,
        weights=pb.FusionWeights(image=0.75, audio=0.25),
        priority=pb.PRIORITY_INTERACTIVE,
    )


def test_options_that_are_not_given_are_absent(client: Client, fake_detector: FakeDetector) -> None:
    client("detect", b"real", threshold=None, modalities=None)
    assert not fake_detector.requests[0].options.HasField("threshold")


@pytest.mark.parametrize(
    ("media", "options"),
    [
        ([], {}),
        (b"real", {"modalities": ["smell"]}),
        (b"real", {"treshold": 0.5}),
        (b"real", {"priority": "vip"}),
    ],
)
def test_a_call_that_makes_no_sense_is_a_value_error(
    client: Client, fake_detector: FakeDetector, media: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"medium|smell|treshold|vip"):
        client("detect", media, **options)
    assert fake_detector.calls == []


def test_a_missing_file_is_a_detection_error_and_never_sent(
    client: Client, fake_detector: FakeDetector
) -> None:
    with pytest.raises(DetectionError, match="No such file") as caught:
        client("detect", "nowhere.jpg")
    assert (caught.value.code, caught.value.status) == ("UNREADABLE_FILE", None)
    assert fake_detector.calls == []


def test_large_files_go_up_in_chunks(client: Client, fake_detector: FakeDetector, tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(b"fake " * (MAX_MESSAGE_BYTES // 5) + b"end")
    answer = client("detect", path, threshold=0.5)
    assert fake_detector.calls == ["DetectUpload"]
    assert answer.verdict == pb.VERDICT_FAKE
    request = fake_detector.requests[0]
    assert request.media[0].content == path.read_bytes()
    assert request.media[0].name == "long.mp4"
    assert request.options.threshold == 0.5


def test_large_stated_media_keep_name_and_kind(client: Client, fake_detector: FakeDetector) -> None:
    medium = pb.Medium(content=bytes(UPLOAD_ABOVE + 1), name="x", kind=pb.MEDIA_KIND_VIDEO)
    client("detect", medium)
    assert fake_detector.calls == ["DetectUpload"]
    assert fake_detector.requests[0].media == [medium]


def test_the_bare_call_sends_the_request_as_it_is(client: Client, fake_detector: FakeDetector) -> None:
    request = pb.DetectRequest(id="mine", media=[pb.Medium(content=b"real")])
    assert client("Detect", request).id == "mine"
    assert fake_detector.requests == [request]


@pytest.mark.parametrize("status", [UNAVAILABLE, OVERLOADED, BEHIND_A_PROXY, KILLED])
def test_calls_are_tried_again(client: Client, fake_detector: FakeDetector, status: Any) -> None:
    fake_detector.failures = [status, status]
    assert client("detect", b"fake").verdict == pb.VERDICT_FAKE
    assert fake_detector.calls == ["Detect"] * 3


def test_uploads_are_tried_again_whole(client: Client, fake_detector: FakeDetector) -> None:
    fake_detector.failures = [UNAVAILABLE]
    content = b"fake" + bytes(2 * UPLOAD_ABOVE)
    assert client("detect", content).verdict == pb.VERDICT_FAKE
    assert fake_detector.calls == ["DetectUpload"] * 2
    assert fake_detector.requests[0].media[0].content == content


@pytest.mark.parametrize(("size", "method"), [(1, "Detect"), (UPLOAD_ABOVE + 1, "DetectUpload")])
def test_nothing_waits_beyond_the_timeout(
    client: Client, fake_detector: FakeDetector, size: int, method: str
) -> None:
    fake_detector.failures = [
        failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "full", retry_after=600.0)
    ]
    with pytest.raises(DetectionError, match="OVERLOADED"):
        client("detect", bytes(size), timeout=5.0)
    assert fake_detector.calls == [method]


def test_broken_uploads_are_not_tried_again(client: Client, fake_detector: FakeDetector) -> None:
    with pytest.raises(DetectionError, match="CORRUPT_MEDIA"):
        client("detect", b"broken" + bytes(UPLOAD_ABOVE))
    assert fake_detector.calls == ["DetectUpload"]


def test_retries_end(client: Client, fake_detector: FakeDetector) -> None:
    fake_detector.failures = [OVERLOADED] * 9
    with pytest.raises(DetectionError) as caught:
        client("detect", b"real", connect={"retries": 1})
    assert fake_detector.calls == ["Detect"] * 2
    assert caught.value.code == "OVERLOADED"
    assert caught.value.message == "the queue is full"
    assert caught.value.hint == "Retry later."
    assert caught.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.retry_after == 0.25


def test_without_retries_there_is_one_try(client: Client, fake_detector: FakeDetector) -> None:
    fake_detector.failures = [UNAVAILABLE]
    with pytest.raises(DetectionError, match="SHUTTING_DOWN"):
        client("detect", b"real", connect={"retries": 0})
    assert fake_detector.calls == ["Detect"]


def test_what_the_server_itself_failed_at_is_not_tried_again(
    client: Client, fake_detector: FakeDetector
) -> None:
    fake_detector.failures = [failure(grpc.StatusCode.INTERNAL, "ENGINE_FAILED", "no number")]
    with pytest.raises(DetectionError, match="ENGINE_FAILED"):
        client("detect", b"real")
    assert fake_detector.calls == ["Detect"]


def test_what_is_wrong_with_a_file_is_not_tried_again(client: Client, fake_detector: FakeDetector) -> None:
    with pytest.raises(DetectionError) as caught:
        client("detect", b"broken")
    assert fake_detector.calls == ["Detect"]
    assert str(caught.value) == "CORRUPT_MEDIA: nothing can be decoded. Check that the file opens."
    assert caught.value.status is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.retry_after is None


@pytest.mark.parametrize("timeout", [0.2, 0])
def test_deadlines_hold(client: Client, fake_detector: FakeDetector, timeout: float) -> None:
    fake_detector.go_on.clear()
    start = time.monotonic()
    with pytest.raises(DetectionError) as caught:
        client("detect", b"real", connect={"timeout": 5}, timeout=timeout)
    assert time.monotonic() - start < 4
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert "timeout" in caught.value.hint


def test_nobody_there_is_said_with_a_hint(client: Client, fake_detector: FakeDetector) -> None:
    connect = sync_client if "sync_client" in str(client) else async_client
    with pytest.raises(DetectionError) as caught:
        connect("127.0.0.1:1")("model", connect={"retries": 0})
    assert caught.value.code == "UNAVAILABLE"
    assert "running" in caught.value.hint


def test_the_token_goes_with_every_call(client: Client, fake_detector: FakeDetector) -> None:
    calls: Iterable[tuple[Any, ...]] = (
        ("detect", b"real"),
        ("detect", bytes(UPLOAD_ABOVE + 1)),
        ("model",),
        ("detect_many", [b"real"]),
    )
    for call in calls:
        fake_detector.metadata = {}
        client(*call, connect={"token": "secret"})
        assert fake_detector.metadata["authorization"] == "Bearer secret", call


def test_a_token_may_come_from_a_file_with_a_line_end(client: Client, fake_detector: FakeDetector) -> None:
    client("model", connect={"token": "secret\n"})
    assert fake_detector.metadata["authorization"] == "Bearer secret"


@pytest.mark.parametrize("token", ["sécret", "one\ntwo"])
@pytest.mark.parametrize("method", ["detect", "detect_many"])
def test_a_token_that_cannot_be_sent_is_said_at_once(client: Client, method: str, token: str) -> None:
    with pytest.raises(DetectionError, match="printable ASCII") as raised:
        client(method, [b"x"], connect={"token": token})
    assert raised.value.code == "INVALID_TOKEN"
    assert token not in str(raised.value)


@pytest.mark.parametrize("timeout", [1e12, float("inf")])
def test_a_timeout_may_be_endless(client: Client, timeout: float) -> None:
    client("model", timeout=timeout)


def test_the_model_can_be_asked_for(client: Client) -> None:
    assert client("model").name == "scripted"


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


def test_names_of_files_need_not_be_utf8(client: Client, fake_detector: FakeDetector, tmp_path: Path) -> None:
    small, large = (Path(os.fsdecode(bytes(tmp_path) + name)) for name in (b"/\xff.jpg", b"/\xfe.jpg"))
    small.write_bytes(b"fake")
    large.write_bytes(b"fake" + bytes(UPLOAD_ABOVE))
    for path in (small, large):
        assert client("detect", path).verdict == pb.VERDICT_FAKE
    assert [request.media[0].name for request in fake_detector.requests] == [r"\udcff.jpg", r"\udcfe.jpg"]


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


def test_a_long_name_that_is_not_utf8_is_cut(
    client: Client, fake_detector: FakeDetector, tmp_path: Path
) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/" + 200 * b"\xe9"))
    path.write_bytes(b"fake")
    assert client("detect", path).verdict == pb.VERDICT_FAKE
    assert len(fake_detector.requests[0].media[0].name) == 1024


def test_a_request_that_is_too_large_is_not_tried_again(client: Client, fake_detector: FakeDetector) -> None:
    with pytest.raises(DetectionError) as caught:
        client("detect", [bytes(MAX_MESSAGE_BYTES // 2 + 1)] * 2)
    assert caught.value.code == "MESSAGE_TOO_LARGE"
    assert "fewer media" in caught.value.hint
    assert not caught.value.retryable
    assert fake_detector.calls == []


def test_errors_can_be_sent_to_another_process() -> None:
    error = DetectionError("OVERLOADED", "full", "Wait.", grpc.StatusCode.RESOURCE_EXHAUSTED, 2.5)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_who_waits_while_another_thread_closes_is_told(fake_detector: FakeDetector) -> None:
    fake_detector.go_on.clear()
    detector = Detector(fake_detector.address)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(detector.detect, b"real")
        while not fake_detector.calls:
            time.sleep(0.01)
        detector.close()
        with pytest.raises(DetectionError) as caught:
            waiting.result(10)
    assert caught.value.code == "CANCELLED"


def test_all_servers_behind_a_name_are_used() -> None:
    with fake_server() as one, fake_server() as other:
        both = f"ipv4:{one.address},{other.address}"
        with Detector(both) as detector:
            until(lambda: detector.detect(b"real") and one.requests and other.requests)


def test_a_server_that_was_away_is_found_again_at_once() -> None:
    with ExitStack() as stack:
        with fake_server() as first:
            detectors = [stack.enter_context(Detector(first.address)) for _ in range(8)]
            for detector in detectors:
                detector.detect(b"real")
        # So long that those who try again wait as long as they ever do between their attempts.
        time.sleep(9)
        with fake_server(int(first.address.rpartition(":")[2])), ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda detector: detector.detect(b"real"), detectors))
    assert len(answers) == 8
