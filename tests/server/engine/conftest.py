from pathlib import Path

import pytest

from server.engine.session import Session
from tests.tiny_graph import tiny_detector


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_detector(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def session(graph: Path) -> Session:
    return Session(graph, "cpu")
