"""What one connection may do: real sockets that misbehave."""

import math
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.app import Server
from server.rpc.listener import listener
from server.settings import Settings
from tests import media
from tests.media_requests import detect_request
from tests.running_server import running_server, stub_of
from tests.server_process import server_process
from tests.unfinished_calls import unfinished
from tests.waiting import until

HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a connection begins: the preface, and an empty SETTINGS frame."""


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    host, port = server.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def hung_up(connection: socket.socket) -> bool:
    """Whether the server closes it, once it has said what it has to say."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_a_connection_that_never_speaks_http2_is_closed(models: Path) -> None:
    with running_server(models, handshake_timeout_seconds=0.5) as server, stub_of(server) as stub:
        for first in (b"", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 600):
            with connected(server) as connection:
                connection.sendall(first)
                assert hung_up(connection)
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).name


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_needs_no_brackets(models: Path, host: str) -> None:
    with running_server(models, host=host, metrics_port=0) as server, stub_of(server) as stub:
        assert server.address.startswith("[::1]:")
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).name


def test_a_connection_without_calls_is_closed_and_clients_connect_again(models: Path) -> None:
    settings = {"connection_idle_timeout_seconds": 0.5}
    with running_server(models, **settings) as server, stub_of(server) as stub:
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).name
        with connected(server) as connection:
            connection.sendall(HTTP2)
            assert hung_up(connection)
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).name


def test_connections_are_limited_and_room_is_made_again(models: Path) -> None:
    with running_server(models, max_connections=2) as server, ExitStack() as stack:
        for _ in range(2):
            channel = _own_channel(server, stack)
            assert DetectorStub(channel).GetModel(pb.GetModelRequest(), timeout=30).name
        third = DetectorStub(_own_channel(server, stack))
        refused: Any = third.GetModel.future(pb.GetModelRequest(), timeout=5)
        assert refused.code() == grpc.StatusCode.UNAVAILABLE
        channel.close()
        until(lambda: _model(third) == grpc.StatusCode.OK)


@pytest.mark.parametrize("limit", ["ulimit -n 256", "ulimit -S -n 256"])
def test_connections_leave_files_to_the_server(models: Path, tmp_path: Path, limit: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(media.photo_jpeg(64, 64))
    request = pb.DetectRequest(media=[pb.Medium(uri=(tmp_path / "photo.jpg").as_uri())])
    command = ["sh", "-c", f'{limit} && exec "$@"', "sh", sys.executable, "-m", "server", "--port", "0"]
    flags = ["--models", str(models), "--file-roots", str(tmp_path)]
    with server_process([*command, *flags]) as (_, address), ExitStack() as stack:
        stub = DetectorStub(stack.enter_context(grpc.insecure_channel(address)))
        assert stub.Detect(request, timeout=30).media
        host, port = address.rsplit(":", 1)
        for _ in range(300):
            stack.enter_context(socket.create_connection((host, int(port))))
        time.sleep(0.5)  # until they are accepted, or closed
        assert stub.Detect(request, timeout=30).media


def _own_channel(server: Server, stack: ExitStack) -> grpc.Channel:
    # By default channels to one address share a connection.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200)]
    return stack.enter_context(grpc.insecure_channel(server.address, options))


def test_calls_at_once_on_one_connection_are_limited(models: Path) -> None:
    with running_server(models, max_streams_per_connection=2) as server, stub_of(server) as stub:
        begin = partial(stub.DetectStream, timeout=20)
        with unfinished(begin), unfinished(begin):
            # The client keeps what the server's limit does not allow, until its own deadline.
            until(lambda: _model(stub) != grpc.StatusCode.OK, seconds=15)
        until(lambda: _model(stub) == grpc.StatusCode.OK)


def _model(stub: DetectorStub) -> grpc.StatusCode:
    call: Any = stub.GetModel.future(pb.GetModelRequest(), timeout=0.5)
    code: grpc.StatusCode = call.code()
    return code


def test_an_old_connection_is_closed_after_its_grace(models: Path) -> None:
    ages = {"max_connection_age_seconds": 0.3, "max_connection_age_grace_seconds": 0.3}
    with running_server(models, **ages) as server, connected(server) as connection:
        connection.sendall(HTTP2)
        assert hung_up(connection)


def test_calls_go_on_while_old_connections_are_replaced(models: Path) -> None:
    with running_server(models, max_connection_age_seconds=0.3) as server, stub_of(server) as stub:
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert stub.GetModel(pb.GetModelRequest(), timeout=30).name


def test_a_stream_outlives_its_connection_s_age_by_as_much_as_it_likes(models: Path) -> None:
    assert Settings().max_connection_age_grace_seconds == math.inf
    photo = media.photo_jpeg(64, 48)

    def requests() -> Iterator[pb.DetectRequest]:
        for number in range(10):
            time.sleep(0.2)
            yield detect_request(photo, request_id=str(number))

    with running_server(models, max_connection_age_seconds=0.3) as server, stub_of(server) as stub:
        assert sum(answer.HasField("response") for answer in stub.DetectStream(requests())) == 10


def test_times_without_end_are_taken(models: Path) -> None:
    names = ("keepalive_seconds", "max_connection_age_seconds", "connection_idle_timeout_seconds")
    with running_server(models, **dict.fromkeys(names, math.inf)) as server, stub_of(server) as stub:
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).name


def test_plain_text_beyond_this_machine_is_warned_of(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    for host, warned in (("127.0.0.1", False), ("0.0.0.0", True)):
        with running_server(models, host=host):
            assert ("travel in plain text" in caplog.text) is warned


def test_pings_and_what_is_sent_ahead_are_as_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of these two nothing is seen on a socket in the time that a test has."""
    given: dict[str, int] = {}
    monkeypatch.setattr(grpc.aio, "server", lambda options, interceptors: given.update(options))
    listener(Settings(keepalive_seconds=14, receive_window_bytes=150_000), [])
    assert given["grpc.keepalive_time_ms"] == 14_000
    assert given["grpc.http2.lookahead_bytes"] == given["grpc.http2.max_frame_size"] == 150_000


def test_of_thousands_of_calls_at_once_none_is_cancelled(models: Path) -> None:
    flags = ["--port", "0", "--models", str(models), "--max-streams-per-connection", "3000"]
    with server_process([sys.executable, "-m", "server", *flags]) as (process, address), ExitStack() as stack:
        stub = DetectorStub(stack.enter_context(grpc.insecure_channel(address)))
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).name
        process.send_signal(signal.SIGSTOP)
        calls: list[Any] = [stub.GetModel.future(pb.GetModelRequest(), timeout=60) for _ in range(2500)]
        time.sleep(1)  # until they are sent
        process.send_signal(signal.SIGCONT)
        assert {call.code() for call in calls} == {grpc.StatusCode.OK}
