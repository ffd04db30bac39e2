"""The server as an operator meets it: a process, signals, exit statuses, health."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import pytest

from benchmarks.processes import free_port
from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.app import Server, running, serve
from server.command import start
from server.errors import CannotListen, InvalidModel, ModelNotFound
from server.settings import Settings
from tests import media
from tests.aws import use_credentials
from tests.graphs import spoiled
from tests.media_requests import detect_request
from tests.running_server import running_server
from tests.server_process import ROOT, ready_process, server_process
from tests.tiny_graph import NAME, put_version, tiny_detector
from tests.waiting import until


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "server", *flags]


def process(*flags: str) -> AbstractContextManager[tuple["subprocess.Popen[str]", str]]:
    """A server process that is ready, and its address."""
    # No cache, so that the same medium is work each time.
    return server_process(command("--cache-max-bytes", "0", *flags))


def test_sigterm_finishes_what_was_accepted_and_exits_with_zero(models: Path) -> None:
    video = detect_request(media.video_mp4(2.0))
    with process("--models", str(models)) as (server, address), grpc.insecure_channel(address) as channel:
        stub = DetectorStub(channel)
        accepted = [stub.Detect.future(video, timeout=60) for _ in range(8)]
        # When the first is answered, all have arrived.
        assert accepted[0].result().verdict
        server.send_signal(signal.SIGTERM)
        assert all(call.result().verdict for call in accepted)
        assert server.wait(60) == 0


def test_a_store_that_hangs_does_not_keep_a_server_from_ending(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_credentials(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = f"http://127.0.0.1:{silent.getsockname()[1]}"
        flags = ("--s3-buckets", "media", "--s3-endpoint", store)
        limits = ("--drain-timeout-seconds", "0.5", "--log-dir", str(tmp_path))
        with (
            process("--models", str(models), *flags, *limits) as (server, address),
            grpc.insecure_channel(address) as channel,
        ):
            hanging = DetectorStub(channel).Detect.future(
                detect_request(pb.Medium(uri="s3://media/photo.jpg")), timeout=60
            )
            silent.accept()
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
            assert hanging.code() == grpc.StatusCode.UNAVAILABLE
    assert "requests that are given up: 1" in (tmp_path / "server.log").read_text()


def test_sighup_looks_for_another_version_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    put_version(folder, "1")
    flags = ("--models", str(folder), "--model-poll-seconds", "0")
    with process(*flags) as (server, address), grpc.insecure_channel(address) as channel:
        stub = DetectorStub(channel)
        put_version(folder, "2")
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).version == "1"
        server.send_signal(signal.SIGHUP)
        until(lambda: stub.GetModel(pb.GetModelRequest(), timeout=30).version == "2")


def test_a_version_that_takes_long_to_load_does_not_keep_a_server_from_ending(tmp_path: Path) -> None:
    put_version(tmp_path / "models", "1")
    endless = tmp_path / "models" / "tiny" / "2" / "model.onnx"
    with process("--models", str(tmp_path / "models"), "--model-poll-seconds", "0") as (server, _):
        endless.parent.mkdir()
        os.mkfifo(endless)
        server.send_signal(signal.SIGHUP)
        # Writing can begin when somebody reads.
        with endless.open("wb"):
            server.terminate()
            assert server.wait(20) == 0


def test_sighup_while_it_starts_is_heeded_once_it_has_started(tmp_path: Path) -> None:
    put_version(tmp_path / "models", "1")
    later = put_version(tmp_path / "later" / "models", "2").parent
    port = free_port()
    flags = ("--models", str(tmp_path / "models"), "--model-poll-seconds", "0", "--port", str(port))
    with ready_process(command(*flags), " runs on ") as (server, _):
        # The versions have been listed: only the signal tells of another.
        later.rename(tmp_path / "models" / NAME / "2")
        server.send_signal(signal.SIGHUP)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub, asked = DetectorStub(channel), pb.GetModelRequest()
            until(lambda: stub.GetModel(asked, timeout=30, wait_for_ready=True).version == "2", 30)
        server.terminate()
        assert server.wait(60) == 0


def test_it_serves_the_bundled_detector_when_there_is_no_other(tmp_path: Path) -> None:
    arguments = command("--port", "0", "--print-config")
    config = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert '"models": null' in config
    with process() as (_, address), grpc.insecure_channel(address) as channel:
        model = DetectorStub(channel).GetModel(pb.GetModelRequest(), timeout=30)
    assert list(model.modalities) == [pb.MODALITY_IMAGE, pb.MODALITY_VIDEO, pb.MODALITY_AUDIO]


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        (["--port", "99999"], 2, "port"),
        (["--prt", "1"], 2, "prt"),
        (["--models", "nowhere"], 1, "MODEL_NOT_FOUND"),
    ],
)
def test_a_wrong_start_says_why(flags: list[str], status: int, message: str) -> None:
    failed = subprocess.run(command(*flags), capture_output=True, text=True, check=False, cwd=ROOT)
    assert failed.returncode == status
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr


def test_windows_is_told_what_to_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert start(Settings(), "python -m server", serve) == 2
    assert "WSL 2" in capsys.readouterr().err


def test_two_servers_do_not_share_a_port(server: Server, models: Path) -> None:
    port = int(server.address.rsplit(":", 1)[1])
    with pytest.raises(CannotListen, match="in use"), running_server(models, port=port):
        pass


def test_a_model_trained_on_other_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tests.tiny_graph.spec_hash", lambda: "0123456789abcdef")
        tiny_detector(tmp_path)
    with pytest.raises(InvalidModel, match="0123456789abcdef"), running_server(tmp_path):
        pass


def test_a_model_that_fails_its_self_test_is_refused(tmp_path: Path) -> None:
    spoiled(tiny_detector(tmp_path), "fake_probability", "Mul", 0.5)
    with pytest.raises(InvalidModel, match="self-test"), running_server(tmp_path):
        pass


def test_an_empty_models_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound), running_server(tmp_path):
        pass


async def test_a_server_that_is_stopped_while_its_graph_loads_closes_cleanly(models: Path) -> None:
    async def start() -> None:
        task = asyncio.current_task()
        assert task
        # As by Ctrl-C meanwhile, which is noticed at the next pause.
        task.cancel()
        async with running(Settings(models=models, profile="test")):
            pytest.fail("it started")

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(start())
