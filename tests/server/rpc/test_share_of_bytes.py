"""Callers whose media must leave room for those of others, through the public door."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from tests import media
from tests.failures import failure, hint, outcome, pushback_milliseconds
from tests.media_requests import chunk, detect_request, header, upload
from tests.running_server import running_server, stub_of
from tests.unfinished_calls import Metadata, announced_upload, unfinished_upload
from tests.waiting import until

ALICE, BOB = (("authorization", "Bearer alice's-secret-1"),), (("authorization", "Bearer bob's-own-secret"),)
PHOTO = media.photo_jpeg(64, 48)
LIMIT = 10_000
SHARE = 3 * LIMIT
RATE_LIMITED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text("alice alice's-secret-1\nbob bob's-own-secret\n")
    return path


@pytest.fixture
def shared(models: Path, tokens: Path, tmp_path: Path) -> Iterator[DetectorStub]:
    """A server of which each of two callers may hold half of the bytes, at most one medium."""
    limits = {
        "max_media_bytes": SHARE,
        "max_message_bytes": LIMIT,
        "max_queue_bytes": 2 * SHARE,
        "max_queue_bytes_per_token": SHARE,
    }
    settings = {"tokens": tokens, "file_roots": (tmp_path,), **limits}
    with running_server(models, **settings) as server, stub_of(server) as stub:
        yield stub


def dripping(stub: DetectorStub, size: int, token: Metadata) -> AbstractContextManager[Any]:
    """An upload that has sent so much, and never ends by itself."""
    return unfinished_upload(stub, *upload(bytes(size), 1000), metadata=token)


def test_uploads_that_drip_hold_no_more_than_their_callers_share(
    shared: DetectorStub, tmp_path: Path
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(PHOTO)
    photo = detect_request(PHOTO, request_id="1")
    by_uri = detect_request(pb.Medium(uri=path.as_uri()))
    held = SHARE - len(PHOTO) + 1

    def each(token: Metadata) -> Iterator[tuple[grpc.StatusCode, str] | None]:
        """How the same photo fares in every way that there is."""
        yield outcome(shared.Detect.future(photo, 30, token))
        yield outcome(shared.Detect.future(by_uri, 30, token))
        yield outcome(shared.DetectUpload.future(iter([header(), chunk(PHOTO)]), 30, token))
        (answer,) = shared.DetectStream(iter([photo]), 30, token)
        yield RATE_LIMITED if "with this token" in answer.error.message else None

    with dripping(shared, held, ALICE):
        until(lambda: failure(announced_upload(shared, SHARE - held + 1, ALICE)) == RATE_LIMITED)
        assert list(each(ALICE)) == [RATE_LIMITED] * 4
        assert list(each(BOB)) == [None] * 4
        call = announced_upload(shared, SHARE, ALICE)
        assert f"its share of {SHARE}" in call.details()
        assert "--max-queue-bytes-per-token" in hint(call)
        assert pushback_milliseconds(call) > 0
        # All that there is.
        with dripping(shared, held, BOB):
            until(lambda: failure(announced_upload(shared, SHARE - held + 1, BOB)) == RATE_LIMITED)
    until(lambda: failure(announced_upload(shared, SHARE, ALICE))[1] == "INVALID_REQUEST")
    assert list(each(ALICE)) == [None] * 4


def test_one_request_that_could_never_fit_a_share_is_not_told_to_come_back(
    shared: DetectorStub, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(bytes(SHARE - 10))
    large = pb.Medium(uri=(tmp_path / "large").as_uri())
    for request in (detect_request(large, large), detect_request(large, PHOTO)):
        call: Any = shared.Detect.future(request, 30, ALICE)
        assert failure(call) == (grpc.StatusCode.INVALID_ARGUMENT, "MEDIA_LIMIT_EXCEEDED")
        assert f"{SHARE} bytes" in call.details()


def test_without_a_share_one_caller_may_use_all(models: Path, tokens: Path) -> None:
    limits = {"max_media_bytes": SHARE, "max_message_bytes": LIMIT, "max_queue_bytes": 2 * SHARE}
    with (
        running_server(models, tokens=tokens, **limits) as server,
        stub_of(server) as stub,
        ExitStack() as held,
    ):
        for _ in range(2):
            held.enter_context(dripping(stub, SHARE - 10, ALICE))
        until(lambda: failure(announced_upload(stub, 100, ALICE))[1] == "OVERLOADED")
