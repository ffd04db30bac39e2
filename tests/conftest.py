from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Property tests try the same inputs in every run, and are not timed: a busy machine is no failure.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keeps what servers under test cache out of the user's own cache folder."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the tiny detector."""
    from tests.tiny_graph import tiny_detector  # not every test needs onnx

    folder = tmp_path_factory.mktemp("repository")
    tiny_detector(folder)
    return folder


@pytest.fixture(scope="session")
def graph(models: Path) -> Path:
    """The file of the tiny detector, for all to read."""
    (file,) = models.rglob("model.onnx")
    return file


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """URL of an AWS on a loopback port."""
    from tests.aws import aws_server  # takes a second

    with aws_server() as url:
        yield url
