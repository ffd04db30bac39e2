from collections.abc import Iterator
from pathlib import Path

import onnxruntime as ort
import pytest

from deepfake.v1 import detector_pb2_grpc
from server.app import Server
from server.engine.session import Session
from tests.running_server import running_server, stub_of


@pytest.fixture(scope="session")
def session(graph: Path) -> Session:
    return Session(graph, "cpu")


@pytest.fixture(scope="session")
def bare(graph: Path) -> ort.InferenceSession:
    """The graph without anything of ours around it."""
    return ort.InferenceSession(graph, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def media_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server may read by file:// URI."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def server(models: Path, media_folder: Path) -> Iterator[Server]:
    with running_server(models, file_roots=(media_folder,), max_media_bytes=5_000_000) as server:
        yield server


@pytest.fixture(scope="session")
def stub(server: Server) -> Iterator[detector_pb2_grpc.DetectorStub]:
    with stub_of(server) as stub:
        yield stub
