"""A detector behind a server that does not always answer."""

from collections.abc import Iterator

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from tests.clients.fake_detector import FakeDetector, failure, fake_server
from training.errors import DataError
from training.evaluation.judge import Task
from training.evaluation.judged import JudgedFile
from training.evaluation.served_judge import served_judge
from training.labels import UNCLEAR

UNAVAILABLE = failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "the server is stopping")
DENIED = failure(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "no token")
COUNT = 20


@pytest.fixture
def detector() -> Iterator[FakeDetector]:
    with fake_server() as detector:
        yield detector


def tasks() -> Iterator[Task]:
    for number in range(COUNT):
        truth = JudgedFile(path=f"{number}.jpg", label=number % 2, kind="image")
        content = b"fake" if number % 2 else b"real"
        yield Task(truth, FileNotFoundError(2, "gone") if number == 3 else content)


def judged(detector: FakeDetector) -> dict[str, JudgedFile]:
    with served_judge(detector.address) as judge:
        files = list(judge.judge(tasks()))
    assert len(files) == COUNT
    return {file.path: file for file in files}


@pytest.mark.parametrize("breaks", [0, 1, 2])
def test_a_stream_that_breaks_costs_no_file(detector: FakeDetector, breaks: int) -> None:
    detector.failures = [UNAVAILABLE] * breaks
    files = judged(detector)
    unreadable = files.pop("3.jpg")
    assert unreadable.error == "cannot be read: gone"
    assert all(file.verdict == ("FAKE" if file.label else "REAL") for file in files.values())


def test_when_the_server_is_gone_what_it_answered_is_kept(detector: FakeDetector) -> None:
    detector.failures = [DENIED] * 100
    files = judged(detector)
    assert all(file.error for file in files.values())
    assert detector.calls.count("DetectStream") == 1


def test_the_precision_that_was_measured_is_told(detector: FakeDetector) -> None:
    with served_judge(detector.address) as judge:
        assert judge.name == "scripted 7 in int8 on CPUExecutionProvider"


def test_what_a_picture_cannot_be_had_for_is_a_typed_error(detector: FakeDetector) -> None:
    with served_judge(detector.address) as judge:
        detector.failures = [DENIED]
        with pytest.raises(DataError, match="UNAUTHENTICATED"):
            judge.activations(b"fake")


def test_what_the_server_says_of_rows_is_told_of_the_same_rows(
    detector: FakeDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = pb.Heatmap(height=2, width=3, values=[0, 0.25, 0.5, 0.5, 0.75, 1])
    forged, other = pb.Region(left=0.5, right=1, bottom=0.5), pb.Region(top=0.5, right=0.5, bottom=1)
    rows = [pb.TimelineEntry(modality=pb.MODALITY_IMAGE, region=r, heatmap=cells) for r in (forged, other)]
    rows.append(pb.TimelineEntry(modality=pb.MODALITY_AUDIO, channel=0))

    def answered(request: pb.DetectRequest) -> pb.DetectResponse:
        return pb.DetectResponse(id=request.id, verdict=pb.VERDICT_INCONCLUSIVE, timeline=rows)

    monkeypatch.setattr(detector, "_answer", answered)
    with served_judge(detector.address) as judge:
        seen, _ = judge.activations(b"fake")
        truth = JudgedFile(path="a.mp4", label=1, kind="video")
        (judged,) = judge.judge([Task(truth, b"fake", (0.6, 0.1, 0.9, 0.4))])
    assert seen.region == (0.5, 0.0, 1.0, 0.5)
    assert seen.heatmap.tolist() == [[0, 0.25, 0.5], [0.5, 0.75, 1]]
    assert [(row.modality, row.label) for row in judged.rows] == [
        ("image", 1),
        ("image", 0),
        ("audio", UNCLEAR),
    ]
    assert judged.fake_probability is None


def test_files_that_are_refused_are_no_sign_of_a_lost_server(detector: FakeDetector) -> None:
    detector.failures = [UNAVAILABLE]
    with served_judge(detector.address) as judge:
        contents = [b"broken"] * 8 + [b"real"] * 20
        files = list(
            judge.judge(
                Task(JudgedFile(path=f"{number}.jpg", label=0, kind="image"), content)
                for number, content in enumerate(contents)
            )
        )
    assert sum(file.verdict == "REAL" for file in files) == 20
