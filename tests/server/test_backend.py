"""What the settings make of the decoders."""

import sys
import threading
from pathlib import Path

import pytest

from server import backend
from server.errors import MissingPackage
from server.settings import Settings
from tests.media import photo_jpeg
from tests.media_requests import detect_request
from tests.running_server import running_server, stub_of


def test_photos_are_judged_with_reduced_decoding(models: Path) -> None:
    pytest.importorskip("simplejpeg")
    request = detect_request(photo_jpeg(640, 480))
    with running_server(models, jpeg_reduced_decoding=True) as server, stub_of(server) as stub:
        answer = stub.Detect(request, timeout=30)
    assert answer.verdict
    assert (answer.media[0].width, answer.media[0].height) == (640, 480)


def test_the_extra_that_reduced_decoding_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "find_spec", lambda _: None)
    with pytest.raises(MissingPackage) as caught:
        backend.Backend(Settings(jpeg_reduced_decoding=True), threading.Event().set)
    assert "reduced-jpeg" in caught.value.hint


def test_a_missing_extra_is_named_before_anything_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    before = set(threading.enumerate())
    with pytest.raises(MissingPackage):
        backend.Backend(Settings(https_hosts=("example.org",), metrics_port=0), threading.Event().set)
    # What other tests have left may end meanwhile.
    assert set(threading.enumerate()) <= before


async def test_a_drain_without_time_still_refuses_what_is_new(models: Path) -> None:
    settings = Settings(models=models, profile="test", drain_timeout_seconds=0)
    served = backend.Backend(settings, threading.Event().set)
    await served.drain()
    assert served.pipeline.admission.draining
    await served.close()
