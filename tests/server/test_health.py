"""grpc.health.v1 as load balancers and grpc_health_probe ask it, and what makes it change."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deepfake.v1.detector_pb2_grpc import DetectorStub
from open_inference.v2 import inference_pb2
from open_inference.v2.inference_pb2_grpc import GRPCInferenceServiceStub
from server.app import Server
from tests import media
from tests.failures import failure
from tests.media_requests import detect_request
from tests.server_process import server_process

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("", "deepfake.v1.Detector", "inference.GRPCInferenceService")
PHOTO = detect_request(media.photo_jpeg(64, 48))
FAULTY = Path(__file__).parent / "faulty_server.py"


def asked(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_ready_server_serves(server: Server, service: str) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(asked(service), timeout=30).status == SERVING
        assert next(stub.Watch(asked(service), timeout=30)).status == SERVING


def test_all_services_are_listed(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        listed = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest(), timeout=30)
    assert {service: answer.status for service, answer in listed.statuses.items()} == dict.fromkeys(
        SERVICES, SERVING
    )


def test_other_services_are_unknown(server: Server) -> None:
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        call = stub.Check.future(asked("deepfake.v1.Nothing"), timeout=30)
        assert call.code() == grpc.StatusCode.NOT_FOUND


@contextmanager
def breakable(
    models: Path, commands: Path, *flags: str
) -> Iterator[tuple["subprocess.Popen[str]", grpc.Channel]]:
    """A server process whose runs of the graph break on command, and a channel to it."""
    script = [sys.executable, str(FAULTY), str(commands), "--models", str(models), *flags]
    with server_process(script) as (process, address), grpc.insecure_channel(address) as channel:
        yield process, channel


def hanging_call(channel: grpc.Channel, commands: Path) -> Any:
    """A call that the server has accepted, and cannot end until it is told."""
    (commands / "hang").touch()
    call = DetectorStub(channel).Detect.future(PHOTO, timeout=60)
    while not (commands / "hangs").exists():
        assert not call.done()
        time.sleep(0.01)
    return call


def test_a_draining_server_says_so_while_it_finishes_what_it_accepted(models: Path, tmp_path: Path) -> None:
    with breakable(models, tmp_path) as (process, channel):
        health = health_pb2_grpc.HealthStub(channel)
        watches = [health.Watch(asked(service), timeout=60) for service in SERVICES]
        assert [next(watch).status for watch in watches] == [SERVING] * len(SERVICES)
        accepted = hanging_call(channel, tmp_path)
        process.send_signal(signal.SIGTERM)
        assert [next(watch).status for watch in watches] == [NOT_SERVING] * len(SERVICES)
        assert health.Check(asked(""), timeout=30).status == NOT_SERVING
        raw = GRPCInferenceServiceStub(channel)
        assert raw.ServerLive(inference_pb2.ServerLiveRequest(), timeout=30).live
        assert not raw.ServerReady(inference_pb2.ServerReadyRequest(), timeout=30).ready
        assert not raw.ModelReady(inference_pb2.ModelReadyRequest(name="tiny"), timeout=30).ready
        assert not accepted.done()
        (tmp_path / "hang").unlink()
        assert accepted.result().verdict
        assert process.wait(30) == 0


def test_a_draining_server_refuses_new_calls_in_a_way_that_clients_retry(
    models: Path, tmp_path: Path
) -> None:
    with breakable(models, tmp_path, "--cache-max-bytes", "0") as (process, channel):
        calls = [hanging_call(channel, tmp_path)]
        process.send_signal(signal.SIGTERM)
        while not calls[-1].done():
            # Those that come before the signal are accepted, and wait for the engine.
            calls.append(DetectorStub(channel).Detect.future(PHOTO, timeout=60))
            time.sleep(0.01)
        with pytest.raises(grpc.RpcError) as refused:
            calls[-1].result()
        assert failure(refused.value) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        (tmp_path / "hang").unlink()
        assert calls[0].result().verdict


def test_an_engine_whose_runs_fail_stops_the_server(models: Path, tmp_path: Path) -> None:
    with breakable(models, tmp_path) as (process, channel):
        watch = health_pb2_grpc.HealthStub(channel).Watch(asked(""), timeout=60)
        assert next(watch).status == SERVING
        (tmp_path / "raise").touch()
        calls = [DetectorStub(channel).Detect.future(PHOTO, timeout=60) for _ in range(3)]
        assert {call.code() for call in calls} <= {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
        assert next(watch).status == NOT_SERVING
        assert process.wait(30) == 1


def test_an_engine_that_hangs_stops_the_server(models: Path, tmp_path: Path) -> None:
    flags = ("--engine-timeout-seconds", "0.5", "--engine-workers", "1")
    with breakable(models, tmp_path, *flags) as (process, channel):
        watch = health_pb2_grpc.HealthStub(channel).Watch(asked(""), timeout=60)
        assert next(watch).status == SERVING
        (tmp_path / "hang").touch()
        calls = [DetectorStub(channel).Detect.future(PHOTO, timeout=60) for _ in range(3)]
        # Who was in the run that hangs, and who waited for it and may try elsewhere.
        codes = {call.code() for call in calls}
        assert grpc.StatusCode.INTERNAL in codes
        assert codes <= {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
        assert next(watch).status == NOT_SERVING
        assert process.wait(30) == 1
