"""More work than time: who is answered, who has to wait, who is refused, and how."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from prometheus_client.samples import Sample

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from open_inference.v2.inference_pb2_grpc import GRPCInferenceServiceStub
from server.engine.engine import Engine
from server.media.decode_queue import DecodeJob
from server.media.isolation import DecodePool
from server.sources.files import Files
from server.urgency import Priority, Urgency
from tests import media
from tests.failures import failure, pushback_milliseconds
from tests.media_requests import decoded_picture, detect_request
from tests.metrics import samples
from tests.raw_requests import PHOTO as ROWS
from tests.raw_requests import message
from tests.running_server import running_server, stub_of
from tests.waiting import until

VIDEO = media.video_mp4(4.0, width=640, height=480)
PHOTO = media.photo_jpeg(64, 48)
ROOM = 6
OK, REFUSED = grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def stub(models: Path) -> Iterator[DetectorStub]:
    with running_server(models, max_queue_size=ROOM) as server, stub_of(server) as stub:
        stub.Detect(detect_request(PHOTO), timeout=60)
        yield stub


def sent(stub: DetectorStub, count: int, *, seconds: float, **options: Any) -> list[Any]:
    return [stub.Detect.future(detect_request(VIDEO, **options), timeout=seconds) for _ in range(count)]


def outcomes(calls: list[Any]) -> list[grpc.StatusCode]:
    return [call.code() for call in calls]


def refused(calls: list[Any]) -> Any:
    """One that was, and told when to come back."""
    call = next(call for call in calls if call.code() == REFUSED)
    assert pushback_milliseconds(call) >= 100
    return call


def test_the_urgent_take_the_room_of_the_patient(stub: DetectorStub) -> None:
    patient = sent(stub, ROOM, seconds=60, priority=pb.PRIORITY_BATCH)
    urgent = sent(stub, ROOM - 1, seconds=60, priority=pb.PRIORITY_INTERACTIVE)
    assert outcomes(urgent) == [OK] * (ROOM - 1)
    # The one that was being decoded kept its place.
    assert set(outcomes(patient)) == {OK, REFUSED}
    assert "more urgent" in refused(patient).details()


def test_those_who_wait_for_the_verdict_on_a_duplicate_give_room_as_well(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, go_on = DecodePool._decode, threading.Event()

    def held(pool: DecodePool, worker: Any, job: DecodeJob) -> None:
        assert job.data != VIDEO or go_on.wait(60)
        decode(pool, worker, job)

    monkeypatch.setattr(DecodePool, "_decode", held)
    options: dict[str, Any] = {"cache_max_bytes": 10**6, "decode_workers": 2, "metrics_port": 0}
    with running_server(models, max_queue_size=ROOM, **options) as server, stub_of(server) as stub:
        patient = sent(stub, ROOM, seconds=60, priority=pb.PRIORITY_BATCH)
        full = Sample("deepfake_requests_in_flight", {}, ROOM)
        until(lambda: full in samples(server.metrics_port))
        assert stub.Detect(detect_request(PHOTO), timeout=60).verdict
        go_on.set()
        assert outcomes(patient).count(OK) == ROOM - 1
        assert "more urgent" in refused(patient).details()


def test_a_request_without_a_deadline_has_the_default_one(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(DecodePool, "_decode", lambda pool, worker, job: go_on.wait(60))
    with running_server(models, default_deadline_seconds=0.5) as server, stub_of(server) as stub:
        try:
            call: Any = stub.Detect.future(detect_request(PHOTO))
            late = call.exception(20)
        finally:
            go_on.set()
    assert failure(late) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


def test_the_patient_do_not_take_the_room_of_the_urgent(stub: DetectorStub) -> None:
    urgent = sent(stub, ROOM, seconds=60)
    patient = sent(stub, ROOM, seconds=60, priority=pb.PRIORITY_BATCH)
    assert outcomes(urgent) == [OK] * ROOM
    assert "are waiting already" in refused(patient).details()
    assert stub.Detect(detect_request(PHOTO), timeout=60).verdict


def test_within_a_priority_the_earlier_deadline_takes_the_room(stub: DetectorStub) -> None:
    later = sent(stub, ROOM, seconds=120)
    (earlier,) = sent(stub, 1, seconds=60)
    assert earlier.code() == OK
    assert outcomes(later).count(REFUSED) <= 1


def test_what_cannot_be_answered_in_time_is_refused_at_once(models: Path) -> None:
    with running_server(models) as server, stub_of(server) as stub:
        stub.Detect(detect_request(VIDEO), timeout=60)
        ahead = sent(stub, 200, seconds=120, priority=pb.PRIORITY_INTERACTIVE)
        hopeless = sent(stub, 1, seconds=2)
        # The first ones may come before the others have arrived.
        while hopeless[-1].code() != REFUSED and not ahead[-1].done():
            hopeless += sent(stub, 1, seconds=2)
        assert "go first" in hopeless[-1].details()
        for call in ahead:
            call.cancel()


def test_media_of_a_slow_store_are_refused_at_once_or_fetched_in_time_the_urgent_first(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Files.read

    def slow(*arguments: Any) -> Any:
        time.sleep(0.2)
        return read(*arguments)

    monkeypatch.setattr(Files, "read", slow)
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    by_uri = detect_request(pb.Medium(uri=(tmp_path / "photo.jpg").as_uri()))
    with running_server(models, file_roots=(tmp_path,), fetch_workers=1) as server, stub_of(server) as stub:
        stub.Detect(by_uri, timeout=60)
        calls = [stub.Detect.future(by_uri, timeout=3) for _ in range(30)]
        by_uri.options.priority = pb.PRIORITY_INTERACTIVE
        stub.Detect(by_uri, timeout=3)
        assert not all(call.done() for call in calls)
        found = outcomes(calls)
        assert {OK, REFUSED} <= set(found)
        # Without an estimate half of them would be.
        late = [outcome for outcome in found if outcome not in {OK, REFUSED}]
        assert len(late) < 5


def test_what_the_engine_has_to_do_with_a_medium_is_known_from_others_of_its_size(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[float] = []
    submit = DecodePool.submit

    def noted(pool: DecodePool, *arguments: Any) -> Any:
        costs.append(arguments[-1])
        return submit(pool, *arguments)

    monkeypatch.setattr(DecodePool, "submit", noted)
    monkeypatch.setattr(DecodePool, "seconds", lambda pool, size: 0.0)
    monkeypatch.setattr(Engine, "seconds", lambda engine, counts: 2.0 if counts[0] else 12.0)
    raw = decoded_picture()
    voices = np.stack([media.voice(5.0, seed=seed) for seed in (1, 2)])
    call = media.encode_sound(voices, "wav", "pcm_s16le", 16_000)
    with running_server(models, cache_max_bytes=0) as server, stub_of(server) as stub:
        for subject in ([PHOTO] * 3, [PHOTO], [raw], [raw, PHOTO], [PHOTO, call], [PHOTO, call]):
            stub.Detect(detect_request(*subject), timeout=60)
        with grpc.insecure_channel(server.address) as channel:
            GRPCInferenceServiceStub(channel).ModelInfer(message(ROWS), timeout=60)
    # A call is judged in two parts, and before the first it is taken for a photo.
    assert costs == pytest.approx([0, 0, 0, 2, 2, 2, 2, 2, 12])


def test_the_engine_knows_how_urgent_a_request_is(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, told = Engine.submit, []

    def recorded(engine: Engine, rows: Any, urgency: Urgency) -> Any:
        told.append(urgency[0])
        return submit(engine, rows, urgency)

    monkeypatch.setattr(Engine, "submit", recorded)
    with running_server(models) as server, stub_of(server) as stub:
        for priority in (pb.PRIORITY_BATCH, pb.PRIORITY_INTERACTIVE):
            stub.Detect(detect_request(PHOTO, priority=priority), timeout=60)
    assert told == [Priority.BATCH, Priority.INTERACTIVE]
