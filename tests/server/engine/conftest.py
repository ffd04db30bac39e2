from dataclasses import replace
from pathlib import Path

import pytest

from server.engine import providers
from server.engine.session import Session
from tests.tiny_graph import tiny_detector


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_detector(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def session(graph: Path) -> Session:
    return Session(graph, "cpu")


@pytest.fixture
def fixed_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes sessions run in fixed shapes, as on CUDA, though they are on the CPU."""
    ordinary = providers._provider
    monkeypatch.setattr(
        providers, "_provider", lambda *of: replace(ordinary(*of), fixed_shapes=True, workers=2)
    )


@pytest.fixture
def shaped(graph: Path, fixed_shapes: None) -> Session:
    return Session(graph, "cpu")
