"""What the settings make of the backend."""

import sys
import threading
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("module", "extra", "setting"),
    [
        ("simplejpeg", "reduced-jpeg", {"jpeg_reduced_decoding": True}),
        ("httpx", "https", {"https_hosts": ("example.org",)}),
        (
            "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
            "tracing",
            {"otlp_endpoint": "http://127.0.0.1:1"},
        ),
    ],
)
def test_a_missing_extra_is_named_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str, setting: dict[str, Any]
) -> None:
    monkeypatch.delitem(sys.modules, "server.tracing", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    before = set(threading.enumerate())
    with pytest.raises(MissingPackage) as caught:
        backend.Backend(Settings(metrics_port=0, **setting), threading.Event().set)
    assert f"[{extra}]" in caught.value.hint
    # What other tests have left may end meanwhile.
    assert set(threading.enumerate()) <= before


async def test_a_drain_without_time_still_refuses_what_is_new(models: Path) -> None:
    settings = Settings(models=models, profile="test", drain_timeout_seconds=0)
    served = backend.Backend(settings, threading.Event().set)
    await served.drain()
    assert served.pipeline.admission.draining
    await served.close()
