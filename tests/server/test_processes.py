"""Several servers on one port, as an operator meets them: processes, signals, exit statuses."""

import asyncio
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import grpc
import psutil
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server import processes
from server.errors import CannotListen
from server.settings import Settings
from tests import media
from tests.media_requests import detect_request
from tests.running_server import running_server
from tests.server_process import ROOT, alive, server_process
from tests.tiny_graph import put_version
from tests.waiting import until, until_async

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="servers share a port on Linux only")

PHOTO = detect_request(media.photo_jpeg(64, 48))


def command(models: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "server", "--models", str(models), "--processes", "2", *flags]


def two_servers(models: Path) -> AbstractContextManager[tuple["subprocess.Popen[str]", str]]:
    return server_process(command(models))


def servers_of(process: "subprocess.Popen[str]") -> list[int]:
    return children(process.pid)


def children(parent: int) -> list[int]:
    return sorted(child.pid for child in psutil.Process(parent).children())


def listening(number: int) -> bool:
    """Whether the process has one of the sockets that take connections."""
    with suppress(psutil.Error):  # it is gone
        sockets = psutil.Process(number).net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN for one in sockets)
    return False


def all_listen(process: "subprocess.Popen[str]", count: int = 2) -> bool:
    servers = servers_of(process)
    return len(servers) == count and all(map(listening, servers))


@contextmanager
def stub_at(address: str) -> Iterator[DetectorStub]:
    """With a connection of its own, which may reach another server than the one before."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield DetectorStub(channel)


def verdict(address: str) -> int:
    with stub_at(address) as stub:
        return stub.Detect(PHOTO, timeout=30, wait_for_ready=True).verdict


def version(address: str) -> str:
    with stub_at(address) as stub:
        return stub.GetModel(pb.GetModelRequest(), timeout=30, wait_for_ready=True).version


def test_every_server_listens_and_one_that_dies_is_replaced_though_the_config_file_is_gone(
    models: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("max_queue_size = 7\n")
    with server_process(command(models, "--config", str(config))) as (process, address):
        until(lambda: all_listen(process))
        assert all(verdict(address) for _ in range(8))
        config.unlink()
        before = servers_of(process)
        os.kill(before[0], signal.SIGKILL)
        until(lambda: before[0] not in servers_of(process))
        assert all(verdict(address) for _ in range(8))
        until(lambda: all_listen(process))
        assert before[1] in servers_of(process)
        assert before[0] not in servers_of(process)


def test_sigterm_finishes_what_was_accepted_and_exits_with_zero(models: Path) -> None:
    video = detect_request(media.video_mp4(2.0))
    with two_servers(models) as (process, address), grpc.insecure_channel(address) as channel:
        until(lambda: len(servers_of(process)) == 2)
        running = servers_of(process)
        accepted = [DetectorStub(channel).Detect.future(video, timeout=60) for _ in range(4)]
        assert accepted[0].result().verdict
        process.send_signal(signal.SIGTERM)
        assert all(call.result().verdict for call in accepted)
        assert process.wait(60) == 0
        assert not any(map(alive, running))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_asks_twice_ends_every_server_at_once(models: Path, number: signal.Signals, status: int) -> None:
    with server_process(command(models, "--decode-workers", "1")) as (process, address):
        until(lambda: all_listen(process))
        servers = servers_of(process)
        decoders = [number for server in servers for number in children(server)]
        for decoder in decoders:
            os.kill(decoder, signal.SIGSTOP)
        try:
            with stub_at(address) as stub:
                waiting = stub.Detect.future(PHOTO, timeout=60)
                time.sleep(0.5)
                for _ in range(2):
                    assert not waiting.done()
                    process.send_signal(number)
                    time.sleep(1.1)  # sooner, a second SIGTERM is taken for an echo of the first
                assert process.wait(10) == status
                until(lambda: not any(map(alive, servers)), 10)
        finally:
            for decoder in decoders:
                with suppress(ProcessLookupError):
                    os.kill(decoder, signal.SIGKILL)


def test_sighup_reaches_every_server_also_those_that_are_still_starting(tmp_path: Path) -> None:
    put_version(tmp_path / "models", "1")
    flags = ("--model-poll-seconds", "0", "--processes", "3")
    with server_process(command(tmp_path / "models", *flags)) as (process, address):
        until(lambda: len(servers_of(process)) == 3)
        servers = servers_of(process)
        # At once, while two have no handler for it yet.
        process.send_signal(signal.SIGHUP)
        put_version(tmp_path / "models", "2")
        process.send_signal(signal.SIGHUP)
        until(lambda: all_listen(process, 3))
        assert servers_of(process) == servers
        until(lambda: all(version(address) == "2" for _ in range(12)))
        put_version(tmp_path / "models", "3")
        process.send_signal(signal.SIGHUP)
        until(lambda: all(version(address) == "3" for _ in range(12)))


def test_servers_whose_watcher_is_gone_stop(models: Path) -> None:
    with two_servers(models) as (process, _):
        until(lambda: len(servers_of(process)) == 2)
        running = servers_of(process)
        process.kill()
        process.wait(60)
        until(lambda: not any(map(alive, running)))


@pytest.mark.parametrize("flags", [["--port", "PORT"], ["--model", "another"]])
def test_a_wrong_start_says_why(models: Path, flags: list[str]) -> None:
    with running_server(models) as other:
        given = [flag.replace("PORT", other.address.rpartition(":")[2]) for flag in flags]
        arguments = [*command(models), "--profile", "test", *given]
        failed = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert failed.returncode == 1
    said = ["CANNOT_LISTEN"] if "--port" in flags else ["MODEL_NOT_FOUND", "server 0 ended with status 1"]
    assert all(words in failed.stderr for words in said)
    assert "Traceback" not in failed.stderr


def test_every_server_looks_where_the_secret_says(models: Path) -> None:
    video = detect_request(media.video_mp4(4.0), timeline=True)

    def starts(address: str) -> list[float]:
        with stub_at(address) as stub:
            answer = stub.Detect(video, timeout=60, wait_for_ready=True)
        return [entry.start_seconds for entry in answer.timeline]

    with running_server(models, sampling_secret="one") as alone:
        expected = starts(alone.address)
    with server_process(command(models, "--sampling-secret", "one")) as (process, address):
        until(lambda: all_listen(process))
        assert all(starts(address) == expected for _ in range(8))


def test_each_server_has_its_share_and_places_of_its_own(tmp_path: Path) -> None:
    settings = Settings(processes=3, cores=8, metrics_port=9464, log_dir=tmp_path)
    shares = list(processes._shares(settings, 50051))
    assert [share.cores for share in shares] == [2, 2, 2]
    assert [share.metrics_port for share in shares] == [9464, 9465, 9466]
    assert [share.log_dir for share in shares] == [tmp_path / "0", tmp_path / "1", tmp_path / "2"]
    fewer = settings.model_copy(update={"cores": 2, "metrics_port": 0, "log_dir": None})
    for share in processes._shares(fewer, 50051):
        assert (share.cores, share.metrics_port, share.log_dir) == (1, 0, None)


@pytest.fixture
def stubborn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which what is started for a server, and heeds no SIGTERM, notes that it got a SIGHUP."""
    program = tmp_path / "program"
    program.write_text(f"""#!{sys.executable}
import os, signal, sys
from pathlib import Path
told = Path({str(tmp_path)!r}) / f"{{os.getpid()}}.told"
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, lambda *_: told.touch())
sys.stdin.readline()
print("ready", flush=True)
sys.stdin.read()
""")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    return tmp_path


async def test_a_server_reloads_when_it_listens_if_it_did_not_when_it_was_asked(
    stubborn: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[int]:
        return [int(path.stem) for path in stubborn.glob("*.told")]

    monkeypatch.setattr(processes, "_END_SECONDS", 0.1)
    server = processes._Server(0, Settings(drain_timeout_seconds=0))
    running = asyncio.create_task(server.keep_running())
    server.reload()
    await until_async(lambda: len(told()) == 1)
    os.kill(told()[0], signal.SIGKILL)
    await until_async(lambda: "is started again" in caplog.text)
    server.reload()
    await until_async(lambda: len(told()) == 2)
    running.cancel()
    await server.stop()
    await until_async(lambda: not any(map(alive, told())), 10)


def test_a_port_that_others_share_is_joined_only_if_that_is_wanted() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with processes._reserved_port(Settings(port=port, shared_port=True)) as joined:
            assert joined == port
        with pytest.raises(CannotListen), processes._reserved_port(Settings(port=port)):
            pass


@pytest.mark.parametrize(("given", "expected"), [(None, 300), (0, 0), (7, 7)])
def test_connections_spread_anew_among_several_servers_unless_it_is_said_when(
    given: float | None, expected: float
) -> None:
    settings = Settings(processes=2, max_connection_age_seconds=given)
    shares = list(processes._shares(settings, 50051))
    assert [share.max_connection_age_seconds for share in shares] == [expected, expected]
    # A stream or a slow upload may take longer.
    assert [share.max_connection_age_grace_seconds for share in shares] == [math.inf, math.inf]
