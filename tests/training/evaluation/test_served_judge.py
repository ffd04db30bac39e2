"""A detector behind a server that does not always answer."""

from collections.abc import Iterator

import grpc
import pytest

from tests.clients.fake_detector import FakeDetector, failure, fake_server
from training.errors import DataError
from training.evaluation.judge import Task
from training.evaluation.judged import JudgedFile
from training.evaluation.served_judge import served_judge

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


def test_what_a_picture_cannot_be_had_for_is_a_typed_error(detector: FakeDetector) -> None:
    with served_judge(detector.address) as judge:
        detector.failures = [DENIED]
        with pytest.raises(DataError, match="UNAUTHENTICATED"):
            judge.activations(b"fake")


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
