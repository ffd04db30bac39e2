"""Bearer tokens and their shares, through the public door."""

import asyncio
import hashlib
import queue
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from typer.testing import CliRunner

from clients import AsyncDetector, DetectionError, Detector
from clients.__main__ import app
from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from open_inference.v2 import inference_pb2, inference_pb2_grpc
from server.app import Server
from server.errors import InvalidCredentials
from server.rpc.authentication import Authentication
from server.rpc.listener import bind, listener
from server.rpc.tokens import Tokens
from server.settings import Settings
from server.telemetry import Record, Telemetry
from tests import media
from tests.failures import failure, outcome, pushback_milliseconds
from tests.media_requests import detect_request, upload
from tests.running_server import running_server, stub_of
from tests.tiny_graph import NAME
from tests.unfinished_calls import unfinished
from tests.waiting import until

ALICE, BOB, EVE = "alice's-secret-1", "bob's-own-secret", "guessed-by-eve-0"
PHOTO = detect_request(media.photo_jpeg(64, 48), request_id="a")
UNAUTHENTICATED = (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
RATE_LIMITED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    hashed = hashlib.sha256(BOB.encode()).hexdigest()
    path.write_text(f"# who may call\n\nalice {ALICE}\nbob sha256:{hashed}\n")
    return path


@pytest.fixture
def guarded(models: Path, tokens: Path) -> Iterator[Server]:
    with running_server(models, tokens=tokens) as server:
        yield server


def replace(path: Path, text: str) -> None:
    """As a deployment does: the file is never half written."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


CALLS: dict[str, Callable[[DetectorStub, Any], Any]] = {
    "Detect": lambda stub, metadata: stub.Detect(PHOTO, 30, metadata),
    "DetectStream": lambda stub, metadata: next(stub.DetectStream(iter([PHOTO]), 30, metadata)),
    "DetectUpload": lambda stub, metadata: stub.DetectUpload(
        iter(upload(PHOTO.media[0].content, 10_000)), 30, metadata
    ),
    "GetModel": lambda stub, metadata: stub.GetModel(pb.GetModelRequest(), 30, metadata),
}


def test_no_call_without_a_valid_token_but_health(guarded: Server) -> None:
    with grpc.insecure_channel(guarded.address) as channel:
        stub = DetectorStub(channel)
        for name, call in CALLS.items():
            for metadata in ((), bearer(EVE), bearer(""), (("authorization", ALICE),), bearer(ALICE + " x")):
                with pytest.raises(grpc.RpcError) as caught:
                    call(stub, metadata)
                assert failure(caught.value) == UNAUTHENTICATED, (name, metadata)
            assert call(stub, bearer(ALICE)), name
            assert call(stub, bearer(BOB)), name
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        with pytest.raises(grpc.RpcError) as caught:
            next(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked, timeout=30))
        assert failure(caught.value) == UNAUTHENTICATED
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=30).status
        assert next(health.Watch(health_pb2.HealthCheckRequest(), timeout=30)).status


def test_the_open_inference_protocol_is_behind_it_too_but_for_its_probes(guarded: Server) -> None:
    with grpc.insecure_channel(guarded.address) as channel:

        def asked(method: str, *metadata: tuple[str, str]) -> Any:
            raw: Any = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
            return raw.future(b"", timeout=30, metadata=metadata)

        for method in ("ServerLive", "ServerReady"):
            assert outcome(asked(method)) is None
        for method in ("ServerMetadata", "ModelReady", "ModelInfer", "ModelStreamInfer"):
            assert outcome(asked(method)) == UNAUTHENTICATED
        assert outcome(asked("ServerMetadata", *bearer(ALICE))) is None


def test_clients_send_it(guarded: Server) -> None:
    with Detector(guarded.address, token=ALICE) as detector:
        assert detector.model().name

    async def ask() -> pb.GetModelResponse:
        async with AsyncDetector(guarded.address, token=BOB) as asynchronous:
            return await asynchronous.model()

    assert asyncio.run(ask()).name
    asked = CliRunner().invoke(app, ["model", "--server", guarded.address], env={"DETECTOR_TOKEN": ALICE})
    assert asked.exit_code == 0
    with Detector(guarded.address, token=EVE) as stranger, pytest.raises(DetectionError) as caught:
        stranger.model()
    assert caught.value.code == "UNAUTHENTICATED"
    assert "Bearer" in caught.value.hint


def test_who_never_sends_anything_is_refused_at_once_without_a_token_and_after_a_while_with_one(
    models: Path, tokens: Path
) -> None:
    patience = {
        "receive_timeout_seconds": 0.5,
        "open_receive_timeout_seconds": 0.25,
        "upload_idle_timeout_seconds": 0.5,
    }
    with (
        running_server(models, tokens=tokens, **patience) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        serialize = pb.DetectRequest.SerializeToString
        for method in ("Detect", "DetectUpload"):
            raw: Any = channel.stream_unary(f"/deepfake.v1.Detector/{method}", serialize)
            with unfinished(partial(raw.future, timeout=30)) as call:
                assert failure(call.exception(20)) == UNAUTHENTICATED
            with unfinished(partial(raw.future, timeout=30, metadata=bearer(ALICE))) as call:
                assert failure(call.exception(20)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_SLOW")
        for method in ("/grpc.health.v1.Health/Check", "/inference.GRPCInferenceService/ServerLive"):
            open_to_all: Any = channel.stream_unary(method)
            with unfinished(partial(open_to_all.future, timeout=30)) as call:
                assert "within 0.25 seconds" in call.details()
                assert failure(call.exception(20)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_SLOW")
        assert CALLS["Detect"](DetectorStub(channel), bearer(ALICE))


BROKEN = ("alice\n", "alice too-short\n", f"bob sha256:{BOB}\n", "", f"alice {ALICE} {BOB}\n")


def test_the_file_is_followed_and_a_broken_one_changes_nothing(
    guarded: Server, tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with stub_of(guarded) as stub:

        def refused() -> int:
            """Files so far; the server looks at calls, once a second at most."""
            assert _outcome(stub, EVE) is None
            return caplog.text.count("the former tokens stay valid")

        replace(tokens, f"alice {EVE}\n")
        until(lambda: _outcome(stub, EVE) is None)
        assert _outcome(stub, ALICE) == _outcome(stub, BOB) == UNAUTHENTICATED
        for number, broken in enumerate(BROKEN, 1):
            replace(tokens, broken)
            until(lambda: refused() == number)  # noqa: B023 - used at once
            assert _outcome(stub, ALICE) == UNAUTHENTICATED
        replace(tokens, f"alice {ALICE}\n")
        until(lambda: _outcome(stub, ALICE) is None)
        assert _outcome(stub, EVE) == UNAUTHENTICATED
    for token in (ALICE, BOB, EVE):
        assert token not in caplog.text


@pytest.mark.parametrize("method", ["DetectStream", "ModelStreamInfer", "ServerReflectionInfo"])
def test_a_stream_ends_when_its_token_is_withdrawn(guarded: Server, tokens: Path, method: str) -> None:
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with grpc.insecure_channel(guarded.address) as channel:
        stub = DetectorStub(channel)
        streams: dict[str, tuple[Any, Any]] = {
            "DetectStream": (stub.DetectStream, PHOTO),
            "ModelStreamInfer": (
                inference_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer,
                inference_pb2.ModelInferRequest(model_name=NAME),
            ),
            "ServerReflectionInfo": (
                reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo,
                reflection_pb2.ServerReflectionRequest(list_services=""),
            ),
        }
        begin, message = streams[method]
        call = begin(iter(messages.get, None), 30, bearer(ALICE))
        messages.put(message)
        assert next(call)
        replace(tokens, f"bob {BOB}\n")
        until(lambda: _outcome(stub, ALICE) == UNAUTHENTICATED)
        messages.put(message)
        assert failure(call) == UNAUTHENTICATED
        messages.put(None)


def _outcome(stub: DetectorStub, token: str) -> tuple[grpc.StatusCode, str] | None:
    return outcome(_asked(stub, token))


def _asked(stub: DetectorStub, token: str) -> Any:
    return stub.GetModel.future(pb.GetModelRequest(), 30, bearer(token))


def test_a_broken_file_stops_the_start(models: Path, tokens: Path) -> None:
    tokens.write_text("alice short\n")
    with pytest.raises(InvalidCredentials, match="line 1"), running_server(models, tokens=tokens):
        pass


def test_calls_at_once_are_limited_for_each_name(models: Path, tokens: Path) -> None:
    with (
        running_server(models, tokens=tokens, max_calls_per_token=1) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = DetectorStub(channel)
        begin = {
            "DetectUpload": lambda messages: stub.DetectUpload.future(messages, 30, bearer(ALICE)),
            "DetectStream": lambda messages: stub.DetectStream(messages, 30, bearer(ALICE)),
        }
        for call in begin.values():
            refused = _refused_beside(call, stub)
            assert failure(refused) == RATE_LIMITED
            assert pushback_milliseconds(refused) > 0
            until(lambda: _outcome(stub, ALICE) is None)


def _refused_beside(begin: Any, stub: DetectorStub) -> Any:
    # What asks may take the one place before the call that is to hold it arrives: that one then begins again.
    for _ in range(50):
        with unfinished(begin) as held:
            while not held.done():
                call = _asked(stub, ALICE)
                if call.code() != grpc.StatusCode.OK and not held.done():
                    assert _outcome(stub, BOB) is None
                    return call
    raise AssertionError("never refused")


def test_calls_a_second_are_limited_and_streams_slowed_down(models: Path, tokens: Path) -> None:
    with (
        running_server(models, tokens=tokens, max_calls_per_second_per_token=5) as server,
        stub_of(server) as stub,
    ):
        # At once: one after the other, a busy machine would take so long that more are allowed meanwhile.
        calls = [_asked(stub, ALICE) for _ in range(30)]
        outcomes = [outcome(call) for call in calls]
        assert outcomes.count(None) >= 5
        assert RATE_LIMITED in outcomes
        assert set(outcomes) <= {None, RATE_LIMITED}
        begin = time.monotonic()
        assert _outcome(stub, BOB) is None
        requests = [detect_request(*PHOTO.media, request_id=str(number)) for number in range(10)]
        answers = list(stub.DetectStream(iter(requests), 30, bearer(BOB)))
        # Of the burst of 5, GetModel and the stream itself took 2.
        assert time.monotonic() - begin > (10 - 3) / 5 - 0.3
        assert len(answers) == 10
        assert all(answer.response.verdict for answer in answers)


async def test_refusals_are_recorded(tokens: Path) -> None:
    async def echo(request: bytes, context: object) -> bytes:
        return request

    records: list[Record] = []
    settings = Settings(port=0, receive_timeout_seconds=0.2)
    server = listener(settings, [Authentication(Tokens(tokens), settings, Telemetry([records.append]))])
    methods: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("some.Service", methods),))
    address = bind(server, settings)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary("/some.Service/Echo")
        assert await call(b"hello", metadata=bearer(ALICE)) == b"hello"
        with pytest.raises(grpc.RpcError):
            await call(b"")
        silent: Any = channel.stream_unary("/some.Service/Echo")(metadata=bearer(ALICE))
        assert await silent.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        unknown: Any = channel.unary_unary("/no.Service/AtAll")
        with pytest.raises(grpc.RpcError):
            await unknown(b"")
    await server.stop(None)
    assert {record.method for record in records} == {"Echo"}
    assert [record.reason for record in records] == ["UNAUTHENTICATED", "TOO_SLOW"]
    assert "within 0.2 seconds" in records[1].message
