from collections.abc import Callable, Iterator

import pytest

from tests.clients.either import Client, async_client, sync_client
from tests.clients.fake_detector import FakeDetector, fake_server


@pytest.fixture
def fake_detector() -> Iterator[FakeDetector]:
    with fake_server() as servicer:
        yield servicer


@pytest.fixture(params=[sync_client, async_client], ids=["sync", "async"])
def client(request: pytest.FixtureRequest, fake_detector: FakeDetector) -> Client:
    connect: Callable[[str], Client] = request.param
    return connect(fake_detector.address)
