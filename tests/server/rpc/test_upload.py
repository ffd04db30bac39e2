"""Uploads that come too slowly, and more media than the server may hold."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.detect.media_bytes import MediaBytes
from server.rpc.upload import receive
from server.settings import Settings
from tests import media
from tests.failures import failure, pushback_milliseconds
from tests.media_requests import chunk, detect_request, header, upload
from tests.running_server import running_server, stub_of
from tests.unfinished_calls import announced_upload, unfinished_upload
from tests.waiting import until

PHOTO = media.photo_jpeg(64, 48)
LIMIT = 100_000
ROOM = 3 * LIMIT


@pytest.fixture(scope="module")
def impatient(models: Path) -> Iterator[DetectorStub]:
    """A server that gives uploads half a second."""
    pace = {"upload_idle_timeout_seconds": 0.5, "min_upload_bytes_per_second": 10_000}
    with running_server(models, **pace) as server, stub_of(server) as stub:
        yield stub


@pytest.mark.parametrize(
    "parts", [[], [header()], [header(), chunk(b"x" * 100)], [header(), chunk(bytes(10**6))]]
)
def test_an_upload_that_stops_is_ended(impatient: DetectorStub, parts: list[pb.DetectUploadRequest]) -> None:
    with unfinished_upload(impatient, *parts) as call:
        assert failure(call.exception(timeout=20)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_SLOW")


@pytest.mark.parametrize("sent", [[], [header(size_bytes=100), chunk(b"x" * 10)], [header()]])
async def test_an_upload_whose_parts_end_because_it_is_cancelled_is_not_called_wrong(
    sent: list[pb.DetectUploadRequest],
) -> None:
    ended = asyncio.Event()

    async def parts() -> AsyncIterator[pb.DetectUploadRequest]:
        for part in sent:
            yield part
        ended.set()

    receiving = asyncio.create_task(receive(parts(), Settings(), MediaBytes(LIMIT)))
    await ended.wait()
    await asyncio.sleep(0.01)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving


def test_an_upload_that_goes_on_may_take_longer(impatient: DetectorStub) -> None:
    photo = media.photo_jpeg(640, 480)

    def steady() -> Iterator[pb.DetectUploadRequest]:
        for part in upload(photo, len(photo) // 10):
            yield part
            time.sleep(0.1)

    assert impatient.DetectUpload(steady(), timeout=30).media


def test_single_bytes_do_not_keep_an_upload_alive(impatient: DetectorStub) -> None:
    sent = []

    def trickle() -> Iterator[pb.DetectUploadRequest]:
        yield header()
        for _ in range(200):
            sent.append(1)
            yield chunk(b"x")
            time.sleep(0.05)

    with pytest.raises(grpc.RpcError) as caught:
        impatient.DetectUpload(trickle(), timeout=30)
    assert failure(caught.value) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TOO_SLOW")
    assert len(sent) < 200


def test_media_beyond_the_servers_bytes_are_refused_until_others_are_done(models: Path) -> None:
    limits = {"max_media_bytes": ROOM, "max_message_bytes": LIMIT, "max_queue_bytes": ROOM}
    photo = detect_request(PHOTO)
    with running_server(models, **limits) as server, stub_of(server) as stub:
        with unfinished_upload(stub, *upload(bytes(ROOM - 100), LIMIT // 2)):
            _until_answered(stub, "OVERLOADED", 101)
            call: Any = stub.Detect.future(photo, timeout=30)
            assert failure(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
            assert pushback_milliseconds(call) > 0
            with pytest.raises(grpc.RpcError) as caught:
                stub.DetectUpload(iter([header(), chunk(b"x" * 1000)]), timeout=30)
            assert failure(caught.value) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        _until_answered(stub, "INVALID_REQUEST")
        assert stub.Detect(photo, timeout=30).verdict


def test_copies_that_are_kept_of_a_message_count_too(models: Path) -> None:
    limits = {"max_media_bytes": ROOM, "max_message_bytes": LIMIT, "max_queue_bytes": ROOM}
    photo = detect_request(PHOTO, request_id="1")
    held = ROOM - 5 * len(PHOTO) // 2
    with (
        running_server(models, **limits) as server,
        stub_of(server) as stub,
        unfinished_upload(stub, *upload(bytes(held), LIMIT // 2)),
    ):
        _until_answered(stub, "OVERLOADED", 3 * len(PHOTO))
        call: Any = stub.Detect.future(photo, timeout=30)
        assert failure(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        (answer,) = stub.DetectStream(iter([photo]), timeout=30)
        assert answer.response.verdict
        assert stub.DetectUpload(iter([header(), chunk(PHOTO)]), timeout=30).verdict


def _until_answered(stub: DetectorStub, code: str, size: int = ROOM) -> None:
    """Announces an upload of this size, without sending it, until the answer is this code."""
    until(lambda: failure(announced_upload(stub, size))[1] == code)
