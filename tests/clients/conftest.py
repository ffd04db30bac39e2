from collections.abc import Iterator

import pytest

from tests.clients.fake_detector import FakeDetector, fake_server


@pytest.fixture
def fake_detector() -> Iterator[FakeDetector]:
    with fake_server() as servicer:
        yield servicer
