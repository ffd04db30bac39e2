"""A host that answers slowly, beside others, through the public door."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepfake.v1 import detector_pb2 as pb
from tests.failures import failure
from tests.media_requests import detect_request
from tests.running_server import running_server, stub_of
from tests.server.sources.site import Site, running_site
from tests.waiting import until


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Of two hosts that a server reads from, as if they were not on the loopback interface."""
    with running_site("slow.example", "quick.example") as site:
        monkeypatch.setattr("server.backend.Https", site.source)
        yield site


@pytest.mark.parametrize("bound", [{}, {"max_fetches_per_host": 2}])
def test_a_host_that_drips_leaves_threads_for_others(models: Path, site: Site, bound: dict[str, int]) -> None:
    port = site.server_port
    settings = {"https_hosts": [f"*.example:{port}"], "fetch_workers": 4, **bound}
    with running_server(models, **settings) as server, stub_of(server) as stub:
        # The same host, however it is written.
        names = ("slow.example", "SLOW.example", "slow.example.", "ｓlow.example")
        slow = [detect_request(pb.Medium(uri=f"https://{name}:{port}/trickle")) for name in names * 2]
        calls: list[Any] = [stub.Detect.future(request, timeout=60) for request in slow]
        at_once = bound.get("max_fetches_per_host", 3)
        until(lambda: len(site.visits) == at_once)
        quick = detect_request(pb.Medium(uri=f"https://quick.example:{port}/photo.jpg"))
        for _ in range(5):
            assert stub.Detect(quick, timeout=20).verdict
        assert sum(path == "/trickle" for _, path in site.visits) == at_once
        # What waited is read once there is room.
        site.closing.set()
        for call in calls:
            assert failure(call)[1] in {"SOURCE_UNAVAILABLE", "UNSUPPORTED_MEDIA", "CORRUPT_MEDIA"}
        assert len(site.visits) == len(calls) + 5
