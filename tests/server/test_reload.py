"""Other versions of the model while clients are being served: nothing fails, nothing is mixed up."""

import math
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.app import Server
from tests import media
from tests.media_requests import decoded_picture, detect_request
from tests.running_server import running_server, stub_of
from tests.tiny_graph import put_version
from tests.waiting import until

GREY = 127
# A grey picture has a logit of 0, so its answers are those of the bias alone; the others are near that.
BIAS = {"1": -2.0, "2": 0.0, "3": 2.0}
REQUESTS = (
    detect_request(decoded_picture(GREY)),
    detect_request(media.photo_jpeg(64, 48)),
    detect_request(media.video_mp4(0.5)),
)


class Clients:
    """Threads that ask the same things over and over, and note what every version answered.

    Attributes:
        answers: by version and request, how often which probability.
        failures: of all calls.
    """

    def __init__(self, address: str) -> None:
        self.answers: dict[tuple[str, int], Counter[float]] = {}
        self.failures: list[grpc.RpcError] = []
        self._address = address
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(6)]

    @contextmanager
    def asking(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(60)

    def wait_for(self, version: str) -> None:
        """Until every request was answered by it a few times."""
        before = self._count(version)
        until(lambda: self._count(version) >= before + 10)

    def _count(self, version: str) -> int:
        with self._lock:
            return min(self.answers.get((version, number), Counter()).total() for number in range(3))

    def _ask(self, number: int) -> None:
        number %= len(REQUESTS)
        with grpc.insecure_channel(self._address) as channel:
            stub = DetectorStub(channel)
            while not self._stop.is_set():
                try:
                    answer = stub.Detect(REQUESTS[number], timeout=30)
                except grpc.RpcError as error:
                    self.failures.append(error)
                    return
                with self._lock:
                    seen = self.answers.setdefault((answer.model_version, number), Counter())
                    seen[round(answer.fake_probability, 4)] += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put_version(tmp_path / "models", "1", BIAS["1"])
    return tmp_path / "models"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with running_server(folder, model_poll_seconds=0.05) as server:
        yield server


def test_swaps_under_load_fail_no_request_and_mix_no_versions(server: Server, folder: Path) -> None:
    clients = Clients(server.address)
    with clients.asking():
        clients.wait_for("1")
        put_version(folder, "2", BIAS["2"])
        clients.wait_for("2")
        put_version(folder, "3", BIAS["3"])
        clients.wait_for("3")
        shutil.rmtree(folder / "tiny" / "3")
        clients.wait_for("2")
        (folder / "tiny" / "4").mkdir()
        (folder / "tiny" / "4" / "model.onnx").write_bytes(b"no graph")
        time.sleep(0.3)
        clients.wait_for("2")
    assert clients.failures == []
    assert {version for version, _ in clients.answers} == set(BIAS)
    assert {len(seen) for seen in clients.answers.values()} == {1}
    logits = {key: logit(next(iter(seen))) for key, seen in clients.answers.items()}
    for (version, number), value in logits.items():
        assert value - logits["1", number] == pytest.approx(BIAS[version] - BIAS["1"], abs=0.05)


def test_get_model_follows_and_lists_what_there_is(server: Server, folder: Path) -> None:
    def model() -> pb.GetModelResponse:
        return stub.GetModel(pb.GetModelRequest(), timeout=30)

    with stub_of(server) as stub:
        assert (model().version, list(model().available_versions)) == ("1", ["1"])
        put_version(folder, "2")
        until(lambda: model().version == "2")
        assert list(model().available_versions) == ["2", "1"]
        assert model().manifest["version"] == "2"


def test_another_version_is_asked_for_what_it_can_judge(server: Server, folder: Path) -> None:
    film = detect_request(media.video_mp4(0.5))
    with stub_of(server) as stub:
        assert len(stub.Detect(film, timeout=30).modalities) == 3
        put_version(folder, "2", modalities=("image",))
        until(lambda: stub.GetModel(pb.GetModelRequest(), timeout=30).version == "2")
        answer = stub.Detect(film, timeout=30)
        assert [score.modality for score in answer.modalities] == [pb.MODALITY_IMAGE]
        with pytest.raises(grpc.RpcError, match="cannot judge video"):
            stub.Detect(detect_request(*film.media, modalities=[pb.MODALITY_VIDEO]), timeout=30)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
