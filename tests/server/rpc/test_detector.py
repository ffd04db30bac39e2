"""The service through its public door: a real server, real media, real sockets."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np
import pytest
from google.protobuf import json_format
from scipy.special import expit

from deepfake.v1 import detector_pb2 as pb
from deepfake.v1.detector_pb2_grpc import DetectorStub
from server.detect.plan import Planner
from server.engine.manifest import Manifest
from tests import media
from tests.failures import failure
from tests.media_requests import chunk, detect_request, header, upload
from tests.running_server import running_server, stub_of
from tests.tiny_graph import LOGIT_RANGE, tiny_detector

PHOTO = media.photo_jpeg(320, 240)
VIDEO = media.video_mp4(1.0)
SOUND = media.speech_mp3(1.0)


def raw_sound(loudest: float) -> pb.DetectRequest:
    pcm = loudest * np.sin(np.arange(16_000, dtype=np.float32))
    sound = pb.RawAudio(pcm=pcm.astype("<f4").tobytes(), sample_rate=16_000)
    return pb.DetectRequest(media=[pb.Medium(audio=sound)])


def rejected(stub: DetectorStub, bad: pb.DetectRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Detect(bad, timeout=30)
    return failure(caught.value)


def test_a_photo(stub: DetectorStub) -> None:
    answer = stub.Detect(detect_request(PHOTO, request_id="a"), timeout=30)
    (facts,) = answer.media
    assert (facts.kind, facts.video_codec, facts.width, facts.height) == (
        pb.MEDIA_KIND_IMAGE,
        "mjpeg",
        320,
        240,
    )
    assert [score.modality for score in answer.modalities] == [pb.MODALITY_IMAGE]
    assert answer.modalities[0].weight == 1
    brightness = media.photo(320, 240).mean()
    expected = expit(LOGIT_RANGE * (2 * brightness / 255 - 1))
    assert answer.fake_probability == pytest.approx(expected, abs=0.01)
    assert answer.id == "a"
    assert (answer.model_name, answer.model_version) == ("tiny", "1")
    assert 0 < answer.timing.inference_seconds <= answer.timing.total_seconds
    assert not answer.timeline


def test_a_fake_voice_in_a_channel_of_its_own_is_found_there(stub: DetectorStub) -> None:
    # The tiny detector takes an offset for a forgery.
    real, fake = media.voice(2, 16_000, 1) - 0.3, media.voice(2, 16_000, 2) + 0.3
    call = media.encode_sound(np.stack([real, fake]), "wav", "pcm_s16le", 16_000)
    answer = stub.Detect(detect_request(call, timeline=True), timeout=30)
    assert answer.verdict == pb.VERDICT_FAKE
    assert answer.fake_probability == pytest.approx(expit(LOGIT_RANGE * 0.3), abs=0.01)
    assert {interval.channel for interval in answer.suspicious_intervals} == {1}
    assert all(interval.HasField("channel") for interval in answer.suspicious_intervals)
    for channel, sign in ((0, -1), (1, 1)):
        own = [entry.fake_probability for entry in answer.timeline if entry.channel == channel]
        assert len(own) == 16
        assert np.mean(own) == pytest.approx(expit(sign * LOGIT_RANGE * 0.3), abs=0.02)
    assert answer.modalities[0].rows == 32

    stereo = media.encode_sound(np.stack([real, real + 0.6]), "wav", "pcm_s16le", 16_000)
    answer = stub.Detect(detect_request(stereo, timeline=True), timeout=30)
    assert answer.verdict == pb.VERDICT_INCONCLUSIVE
    assert not any(entry.HasField("channel") for entry in answer.timeline)


def test_a_video_with_sound_is_judged_three_ways(stub: DetectorStub) -> None:
    answer = stub.Detect(detect_request(VIDEO, timeline=True, frames_per_video=7), timeout=30)
    rows = {score.modality: score.rows for score in answer.modalities}
    assert set(rows) == {pb.MODALITY_IMAGE, pb.MODALITY_VIDEO, pb.MODALITY_AUDIO}
    assert rows[pb.MODALITY_IMAGE] == 7
    assert sum(score.weight for score in answer.modalities) == pytest.approx(1)
    fused = sum(score.weight * score.fake_probability for score in answer.modalities)
    assert answer.fake_probability == pytest.approx(fused, abs=1e-5)
    (facts,) = answer.media
    assert (facts.video_codec, facts.audio_codec) == ("h264", "aac")
    assert facts.duration_seconds == pytest.approx(1, abs=0.1)
    assert len(answer.timeline) == sum(rows.values())
    starts = [entry.start_seconds for entry in answer.timeline if entry.modality == pb.MODALITY_IMAGE]
    assert starts == sorted(starts)
    assert len(set(starts)) == 7


def test_sound(stub: DetectorStub) -> None:
    answer = stub.Detect(detect_request(SOUND), timeout=30)
    assert [score.modality for score in answer.modalities] == [pb.MODALITY_AUDIO]
    assert answer.media[0].sample_rate == 44_100


def test_the_heatmap_covers_each_image_row(stub: DetectorStub) -> None:
    (entry,) = stub.Detect(detect_request(PHOTO, heatmap=True), timeout=30).timeline
    assert len(entry.heatmap.values) == entry.heatmap.height * entry.heatmap.width > 0
    assert (entry.region.left, entry.region.top, entry.region.right, entry.region.bottom) == (0, 0, 1, 1)
    assert all(0 <= value <= 1 for value in entry.heatmap.values)


def test_modalities_and_weights_can_be_chosen(stub: DetectorStub) -> None:
    only = stub.Detect(detect_request(VIDEO, modalities=[pb.MODALITY_AUDIO]), timeout=30)
    assert [score.modality for score in only.modalities] == [pb.MODALITY_AUDIO]
    weights = pb.FusionWeights(image=3, audio=1)
    weighted = stub.Detect(detect_request(VIDEO, weights=weights), timeout=30)
    shares = [(score.modality, round(score.weight, 3)) for score in weighted.modalities]
    assert shares == [(pb.MODALITY_IMAGE, 0.75), (pb.MODALITY_AUDIO, 0.25)]


def test_a_threshold_decides(stub: DetectorStub) -> None:
    probability = stub.Detect(detect_request(PHOTO), timeout=30).fake_probability
    for threshold, verdict in ((probability - 0.01, pb.VERDICT_FAKE), (probability + 0.01, pb.VERDICT_REAL)):
        assert stub.Detect(detect_request(PHOTO, threshold=threshold), timeout=30).verdict == verdict


def test_suspicious_intervals_are_told_by_that_threshold_with_a_timeline_or_without(
    stub: DetectorStub,
) -> None:
    told = [
        stub.Detect(detect_request(VIDEO, threshold=threshold, timeline=timeline), timeout=30)
        for threshold, timeline in ((0, True), (0, False), (1, True))
    ]
    everywhere, without_timeline, nowhere = (list(answer.suspicious_intervals) for answer in told)
    assert {interval.modality for interval in everywhere} == {
        pb.MODALITY_IMAGE,
        pb.MODALITY_VIDEO,
        pb.MODALITY_AUDIO,
    }
    assert without_timeline == everywhere
    assert nowhere == []


def test_several_media_of_one_subject_are_fused(stub: DetectorStub) -> None:
    answer = stub.Detect(detect_request(PHOTO, SOUND, PHOTO, timeline=True), timeout=30)
    assert {score.modality: score.rows for score in answer.modalities}[pb.MODALITY_IMAGE] == 2
    assert [facts.kind for facts in answer.media] == [
        pb.MEDIA_KIND_IMAGE,
        pb.MEDIA_KIND_AUDIO,
        pb.MEDIA_KIND_IMAGE,
    ]
    assert {entry.media_index for entry in answer.timeline} == {0, 1, 2}


def test_nobody_waits_while_the_pictures_of_many_media_are_put_together(
    stub: DetectorStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge, merging, go_on = Planner.merge, threading.Event(), threading.Event()

    def slow_merge(planner: Planner, media: Any, weights: Any) -> Any:
        if len(media) > 1:
            merging.set()
            go_on.wait(20)
        return merge(planner, media, weights)

    monkeypatch.setattr(Planner, "merge", slow_merge)
    photo = media.photo_jpeg(64, 48)
    many = stub.Detect.future(detect_request(photo, photo), timeout=30)
    assert merging.wait(20)
    try:
        assert stub.Detect(detect_request(photo), timeout=10)
    finally:
        go_on.set()
    assert many.result()


def test_decoded_pictures_and_sound(stub: DetectorStub) -> None:
    frames = np.full((6, 32, 32, 3), 255, np.uint8)
    decoded = pb.Medium(frames=pb.RawFrames(rgb=frames.tobytes(), count=6, height=32, width=32))
    answer = stub.Detect(detect_request(decoded), timeout=30)
    assert {score.modality for score in answer.modalities} == {pb.MODALITY_IMAGE, pb.MODALITY_VIDEO}
    assert answer.fake_probability == pytest.approx(expit(LOGIT_RANGE), abs=1e-5)

    pcm = np.tile(np.asarray([0.2, 0.3], "<f4"), 8_000)
    decoded = pb.Medium(audio=pb.RawAudio(pcm=pcm.tobytes(), sample_rate=16_000))
    answer = stub.Detect(detect_request(decoded), timeout=30)
    assert answer.fake_probability == pytest.approx(expit(0.25 * LOGIT_RANGE), abs=1e-5)


def test_sound_is_no_evidence_for_a_detector_of_pictures(tmp_path: Path) -> None:
    graph = tiny_detector(tmp_path, modalities=("image",))
    with running_server(graph.parents[2]) as server, stub_of(server) as stub:
        answer = stub.Detect(detect_request(media.tone_wav(2.0)), timeout=30)
    assert answer.inconclusive_reason == pb.INCONCLUSIVE_REASON_NO_EVIDENCE


def test_sound_that_is_too_short_is_inconclusive_and_has_no_probability(stub: DetectorStub) -> None:
    answer = stub.Detect(detect_request(media.tone_wav(0.05)), timeout=30)
    assert answer.verdict == pb.VERDICT_INCONCLUSIVE
    assert answer.inconclusive_reason == pb.INCONCLUSIVE_REASON_TOO_SHORT
    assert not answer.HasField("fake_probability")
    assert answer.media[0].warnings


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (detect_request(), "INVALID_REQUEST"),
        (detect_request(*[b"x"] * 17), "INVALID_REQUEST"),
        (detect_request(pb.Medium()), "INVALID_REQUEST"),
        (detect_request(PHOTO, request_id="a" * 257), "INVALID_REQUEST"),
        (detect_request(PHOTO, threshold=1.5), "INVALID_REQUEST"),
        (detect_request(PHOTO, frames_per_video=0), "INVALID_REQUEST"),
        (detect_request(PHOTO, frames_per_video=10_000), "INVALID_REQUEST"),
        (detect_request(PHOTO, weights=pb.FusionWeights()), "INVALID_REQUEST"),
        (detect_request(PHOTO, weights=pb.FusionWeights(image=float("nan"))), "INVALID_REQUEST"),
        (
            detect_request(pb.Medium(frames=pb.RawFrames(rgb=b"123", count=1, height=1, width=2))),
            "INVALID_REQUEST",
        ),
        (
            detect_request(pb.Medium(frames=pb.RawFrames(rgb=b"123", count=1, height=1, width=1))),
            "INVALID_REQUEST",
        ),
        (
            detect_request(pb.Medium(audio=pb.RawAudio(pcm=b"\0" * 64, sample_rate=8_000))),
            "INVALID_REQUEST",
        ),
        (raw_sound(float("nan")), "INVALID_REQUEST"),
        (raw_sound(1e38), "INVALID_REQUEST"),
        (detect_request(pb.Medium(content=PHOTO, kind=pb.MEDIA_KIND_AUDIO)), "UNSUPPORTED_MEDIA"),
        (detect_request(b"hello, this is a text file"), "UNSUPPORTED_MEDIA"),
        (detect_request(PHOTO[:200]), "CORRUPT_MEDIA"),
        (detect_request(b"\0" * 5_000_001), "MEDIA_LIMIT_EXCEEDED"),
        (
            detect_request(pb.Medium(audio=pb.RawAudio(pcm=b"\0" * 5_000_004, sample_rate=16_000))),
            "MEDIA_LIMIT_EXCEEDED",
        ),
        (detect_request(pb.Medium(frames=pb.RawFrames(rgb=b"\0" * 5_000_001))), "MEDIA_LIMIT_EXCEEDED"),
    ],
)
def test_bad_input_gets_a_typed_error(stub: DetectorStub, bad: pb.DetectRequest, code: str) -> None:
    assert rejected(stub, bad) == (grpc.StatusCode.INVALID_ARGUMENT, code)


def test_one_broken_medium_of_several_is_named(stub: DetectorStub) -> None:
    bad = detect_request(PHOTO, PHOTO[:200])
    bad.media[1].name = "passport.jpg"
    with pytest.raises(grpc.RpcError, match=r"media\[1\] passport\.jpg: "):
        stub.Detect(bad, timeout=30)
    bad.media[1].name = ""
    with pytest.raises(grpc.RpcError, match=r"media\[1\]: "):
        stub.Detect(bad, timeout=30)


def test_files_below_the_allowed_folder_can_be_named(stub: DetectorStub, media_folder: Path) -> None:
    (media_folder / "a photo.jpg").write_bytes(PHOTO)
    uri = (media_folder / "a photo.jpg").as_uri()
    answer = stub.Detect(detect_request(pb.Medium(uri=uri)), timeout=30)
    assert answer.fake_probability == stub.Detect(detect_request(PHOTO), timeout=30).fake_probability


@pytest.mark.parametrize(
    ("uri", "status", "code"),
    [
        ("file:///etc/hostname", grpc.StatusCode.NOT_FOUND, "SOURCE_NOT_FOUND"),
        ("http://127.0.0.1/x.jpg", grpc.StatusCode.PERMISSION_DENIED, "SOURCE_NOT_ALLOWED"),
        ("photo.jpg", grpc.StatusCode.PERMISSION_DENIED, "SOURCE_NOT_ALLOWED"),
    ],
)
def test_other_places_cannot(stub: DetectorStub, uri: str, status: grpc.StatusCode, code: str) -> None:
    assert rejected(stub, detect_request(pb.Medium(uri=uri))) == (status, code)


def test_a_stream_answers_each_request_and_one_failure_stops_no_other(stub: DetectorStub) -> None:
    contents = {"photo": PHOTO, "broken": PHOTO[:200], "video": VIDEO, "sound": SOUND, "": PHOTO}
    requests = [detect_request(content, request_id=name) for name, content in contents.items()]
    answers = {answer.id: answer for answer in stub.DetectStream(iter(requests), timeout=60)}
    assert set(answers) == set(contents)
    for name in ("photo", "video", "sound"):
        alone = stub.Detect(detect_request(contents[name]), timeout=30)
        assert answers[name].response.fake_probability == pytest.approx(alone.fake_probability, abs=1e-5)
    assert answers["broken"].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert answers[""].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_an_upload_in_chunks(stub: DetectorStub) -> None:
    parts = upload(VIDEO, 10_000, id="up", name="clip.mp4", size_bytes=len(VIDEO))
    answer = stub.DetectUpload(iter(parts), timeout=30)
    alone = stub.Detect(detect_request(VIDEO), timeout=30)
    assert (answer.id, answer.media[0].name) == ("up", "clip.mp4")
    assert answer.fake_probability == pytest.approx(alone.fake_probability, abs=1e-5)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([], "INVALID_REQUEST"),
        ([chunk(PHOTO)], "INVALID_REQUEST"),
        ([header(), header()], "INVALID_REQUEST"),
        ([header(size_bytes=2**40)], "MEDIA_LIMIT_EXCEEDED"),
        ([header(), *[chunk(b"\0" * 3_000_000)] * 2], "MEDIA_LIMIT_EXCEEDED"),
        ([header(size_bytes=5), chunk(b"123")], "INVALID_REQUEST"),
    ],
)
def test_a_bad_upload_is_refused(stub: DetectorStub, parts: list[pb.DetectUploadRequest], code: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.DetectUpload(iter(parts), timeout=30)
    assert failure(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, code)


def test_the_model_describes_itself(stub: DetectorStub) -> None:
    model = stub.GetModel(pb.GetModelRequest(), timeout=30)
    assert (model.name, model.version, model.execution_provider) == ("tiny", "1", "CPUExecutionProvider")
    assert (model.frame_height, model.frame_width, model.sample_rate) == (32, 32, 16_000)
    assert list(model.modalities) == [pb.MODALITY_IMAGE, pb.MODALITY_VIDEO, pb.MODALITY_AUDIO]
    assert model.limits.max_media_bytes == 5_000_000
    assert Manifest.model_validate(json_format.MessageToDict(model.manifest)).name == "tiny"


def test_the_model_tells_the_limits(models: Path) -> None:
    limits: dict[str, Any] = {
        "max_message_bytes": 7_000_000,
        "max_media_bytes": 5_000_000,
        "max_media_per_request": 3,
        "max_frames_per_video": 9,
        "max_pixels": 11_000,
        "max_duration_seconds": 13.5,
        "max_queue_size": 17,
    }
    with running_server(models, **limits) as server, stub_of(server) as stub:
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).limits == pb.Limits(**limits)


def test_a_late_answer_is_a_deadline_error_and_the_server_goes_on(stub: DetectorStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Detect(detect_request(VIDEO), timeout=0.001)
    assert cast("grpc.Call", caught.value).code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Detect(detect_request(PHOTO), timeout=30).verdict


def test_many_callers_get_their_own_answers(stub: DetectorStub) -> None:
    pictures = [media.photo_jpeg(64, 48, seed) for seed in range(8)]
    sounds = [media.speech_wav(0.5, seed=seed) for seed in range(4)]
    contents = [*pictures, VIDEO, *sounds, PHOTO[:200]]

    def outcome(content: bytes) -> tuple[float, str]:
        try:
            return stub.Detect(detect_request(content), timeout=60).fake_probability, ""
        except grpc.RpcError as error:
            return -1.0, failure(error)[1]

    alone = {content: outcome(content) for content in contents}
    with ThreadPoolExecutor(32) as callers:
        answers = list(callers.map(outcome, contents * 20))
    expected = [alone[content] for content in contents * 20]
    assert [code for _, code in answers] == [code for _, code in expected]
    np.testing.assert_allclose([p for p, _ in answers], [p for p, _ in expected], atol=1e-5)
    assert len({round(p, 4) for p, _ in alone.values()}) == len(contents)
