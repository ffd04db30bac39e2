"""What the settings make of the backend."""

import sys
import threading
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from server import backend
from server.aws import Aws
from server.errors import MissingPackage
from server.media.limits import MediaLimits
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


async def test_what_is_set_reaches_what_it_is_for(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, dict[str, Any]] = {}

    def recorded(name: str, made: Any) -> Any:
        def make(*arguments: Any, **named: Any) -> Any:
            given[name] = signature(made).bind(*arguments, **named).arguments
            return made(*arguments, **named)

        return make

    expected: dict[str, dict[str, Any]] = {
        "DecodePool": {
            "workers": 2,
            "limits": MediaLimits(
                max_bytes=1_234_567,
                max_pixels=10**6,
                max_duration_seconds=61,
                decode_timeout_seconds=29,
                max_memory_bytes=10**9,
                max_threads=5,
            ),
        },
        "Engine": {
            "max_batch_size": 7,
            "max_batch_seconds": 0.11,
            "max_queue_delay": 0.0013,
            "run_timeout": 13,
        },
        "Files": {"roots": (tmp_path,)},
        "GraphCache": {"folder": tmp_path},
        "Https": {"hosts": (), "max_seconds": 21},
        "MediaBytes": {"limit": 10**9, "share": 10**8},
        "S3": {
            "buckets": ("media",),
            "aws": Aws("p", "arn:aws:iam::1:role/r", "eu-west-1", 2, 6, 31, 4),
            "endpoint": "http://127.0.0.1:9",
        },
        "Sources": {"max_bytes": 1_234_567, "workers": 4, "max_per_host": 3},
        "VerdictCache": {"max_bytes": 1_000_001, "max_entries": 19, "seconds": 23},
        "divide_cores": {"workers": 1, "threads": 1, "cores": 5},
        "open_session": {"wish": "fp32", "provider": "cpu"},
    }
    for name in expected:
        monkeypatch.setattr(backend, name, recorded(name, getattr(backend, name)))
    chosen: dict[str, Any] = {
        "decode_workers": 2,
        "engine_workers": 1,
        "cores": 5,
        "precision": "fp32",
        "max_batch_size": 7,
        "max_batch_seconds": 0.11,
        "max_queue_delay_microseconds": 1300,
        "engine_timeout_seconds": 13,
        "file_roots": (tmp_path,),
        "s3_buckets": ("media",),
        "s3_endpoint": "http://127.0.0.1:9",
        "https_timeout_seconds": 21,
        "fetch_workers": 4,
        "aws_profile": "p",
        "aws_role_arn": "arn:aws:iam::1:role/r",
        "aws_region": "eu-west-1",
        "aws_max_attempts": 2,
        "aws_connect_timeout_seconds": 6,
        "aws_read_timeout_seconds": 31,
        "max_fetches_per_host": 3,
        "max_media_bytes": 1_234_567,
        "max_message_bytes": 10**7,
        "max_pixels": 10**6,
        "max_duration_seconds": 61,
        "decode_timeout_seconds": 29,
        "max_decode_memory_bytes": 10**9,
        "max_decode_threads": 5,
        "max_queue_bytes": 10**9,
        "max_queue_bytes_per_token": 10**8,
        "cache_max_bytes": 1_000_001,
        "cache_max_entries": 19,
        "cache_seconds": 23,
        "graph_cache": True,
        "graph_cache_dir": tmp_path,
    }
    settings = Settings(models=models, profile="test", **chosen)
    await backend.Backend(settings, threading.Event().set).close()
    for name, arguments in expected.items():
        assert {key: given[name][key] for key in arguments} == arguments, name


async def test_a_drain_without_time_still_refuses_what_is_new(models: Path) -> None:
    settings = Settings(models=models, profile="test", drain_timeout_seconds=0)
    served = backend.Backend(settings, threading.Event().set)
    await served.drain()
    assert served.pipeline.admission.draining
    await served.close()
