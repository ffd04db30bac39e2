from dataclasses import replace
from pathlib import Path

import pytest

from server.engine import providers
from server.engine.session import Session


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
