"""Single calls of both clients against a scripted server."""

import errno
import io
import os
import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
import pytest

from clients import DetectionError, errors
from clients.requests import UPLOAD_ABOVE
from deepfake.v1 import detector_pb2 as pb
from tests.clients.either import Client
from tests.clients.fake_detector import CORRUPT, MAX_MESSAGE_BYTES, FakeDetector


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


@pytest.mark.parametrize("size", [10, UPLOAD_ABOVE + 1])
def test_a_file_whose_disk_fails_while_it_is_read_is_named(
    client: Client, fake_detector: FakeDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    class Failing(io.BytesIO):
        def read(self, count: int | None = -1) -> bytes:
            if self.tell() or size <= UPLOAD_ABOVE:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(count)

    path = tmp_path / "long.mp4"
    path.write_bytes(b"x" * size)
    monkeypatch.setattr(Path, "open", lambda self, *_, **__: Failing(b"x" * size))
    with pytest.raises(DetectionError, match="Input/output error") as caught:
        client("detect", path)
    assert (caught.value.code, caught.value.message) == ("UNREADABLE_FILE", f"{path}: Input/output error")
    assert fake_detector.requests == []


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


def test_a_refused_upload_leaves_no_file_open(
    client: Client, fake_detector: FakeDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, opened, open_file = tmp_path / "long.mp4", list[Any](), Path.open
    path.write_bytes(bytes(UPLOAD_ABOVE + 1))

    def remembered(path: Path, mode: str) -> Any:
        opened.append(open_file(path, mode))
        return opened[-1]

    monkeypatch.setattr(Path, "open", remembered)
    fake_detector.failures = [CORRUPT]
    with pytest.raises(DetectionError, match="CORRUPT_MEDIA"):
        client("detect", path)
    assert [file.closed for file in opened] == [True]


def test_large_stated_media_keep_name_and_kind(client: Client, fake_detector: FakeDetector) -> None:
    medium = pb.Medium(content=bytes(UPLOAD_ABOVE + 1), name="x", kind=pb.MEDIA_KIND_VIDEO)
    client("detect", medium)
    assert fake_detector.calls == ["DetectUpload"]
    assert fake_detector.requests[0].media == [medium]


def test_the_bare_call_sends_the_request_as_it_is(client: Client, fake_detector: FakeDetector) -> None:
    request = pb.DetectRequest(id="mine", media=[pb.Medium(content=b"real")])
    assert client("Detect", request).id == "mine"
    assert fake_detector.requests == [request]


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


def test_the_model_can_be_asked_for(client: Client) -> None:
    assert client("model").name == "scripted"


def test_names_of_files_need_not_be_utf8(client: Client, fake_detector: FakeDetector, tmp_path: Path) -> None:
    small, large = (Path(os.fsdecode(bytes(tmp_path) + name)) for name in (b"/\xff.jpg", b"/\xfe.jpg"))
    small.write_bytes(b"fake")
    large.write_bytes(b"fake" + bytes(UPLOAD_ABOVE))
    for path in (small, large):
        assert client("detect", path).verdict == pb.VERDICT_FAKE
    assert [request.media[0].name for request in fake_detector.requests] == [r"\udcff.jpg", r"\udcfe.jpg"]


def test_a_long_name_that_is_not_utf8_is_cut(
    client: Client, fake_detector: FakeDetector, tmp_path: Path
) -> None:
    path = Path(os.fsdecode(bytes(tmp_path) + b"/" + 200 * b"\xe9"))
    path.write_bytes(b"fake")
    assert client("detect", path).verdict == pb.VERDICT_FAKE
    assert len(fake_detector.requests[0].media[0].name) == 1024


def test_errors_can_be_sent_to_another_process() -> None:
    error = DetectionError("OVERLOADED", "full", "Wait.", grpc.StatusCode.RESOURCE_EXHAUSTED, 2.5)
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_code_of_the_clients_own_is_described() -> None:
    sources = [path.read_text(encoding="utf-8") for path in Path(errors.__file__).parent.glob("*.py")]
    raised = {code for text in sources for code in re.findall(r'DetectionError\(\s*"([A-Z_]+)"', text)}
    assert raised | {errors.TOO_LARGE} <= set(re.findall(r"[A-Z_]{5,}", DetectionError.__doc__ or ""))
    assert len(raised) > 8
