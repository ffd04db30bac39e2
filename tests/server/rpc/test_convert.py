"""Every field at its place, and every limit itself still allowed."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from deepfake.v1 import detector_pb2 as pb
from server.detect.request import (
    Detection,
    ModalityScore,
    RawFrames,
    Reason,
    ScoredRow,
    Stopwatch,
    SuspiciousInterval,
    Verdict,
)
from server.media.types import MediaFacts, MediaKind
from server.rpc.convert import MAX_ID, to_options, to_request, to_response, to_uploaded_request
from server.settings import Settings
from server.sources.fetched import SourceFacts
from server.urgency import Priority
from tests.media_requests import detect_request

SETTINGS = Settings(max_media_per_request=2, max_frames_per_video=9, max_media_bytes=1024)
CONTENT = bytes(1024)
HEATMAP = np.array([[0.25, 0.5, 0.75]], np.float32)
# Numbers that floats of the wire have exactly, each of them once.
DETECTION = Detection(
    Verdict.INCONCLUSIVE,
    Reason.BETWEEN_THRESHOLDS,
    0.375,
    (ModalityScore("video", 0.125, 3, 0.875),),
    (ScoredRow("image", 1, 2.5, 3.5, 0.0625, (0.1875, 0.3125, 0.4375, 0.5625), HEATMAP, 4),),
    (SuspiciousInterval("audio", 5, 6.5, 7.5, 0.6875, 6),),
    (
        MediaFacts(
            MediaKind.VIDEO,
            *("mov", "h264", "aac", 10, 11, 12, 13.5, 14.5, 90, True, 15, 16),
            warnings=("careful",),
        ),
    ),
    (SourceFacts("digest", "tag", "video/mp4", datetime(2024, 5, 6, tzinfo=UTC)),),
    "name",
    "version",
    cached=True,
)


def answered(**options: bool) -> pb.DetectResponse:
    asked = detect_request(pb.Medium(name="film"), request_id="id", **options)
    return to_response(asked, DETECTION, Stopwatch(0.5, 1.5, 2.5, 3.5, 4.5))


EVERYTHING = """
id: "id" verdict: VERDICT_INCONCLUSIVE inconclusive_reason: INCONCLUSIVE_REASON_BETWEEN_THRESHOLDS
fake_probability: 0.375 model_name: "name" model_version: "version" cached: true
modalities { modality: MODALITY_VIDEO fake_probability: 0.125 rows: 3 weight: 0.875 }
timeline {
  modality: MODALITY_IMAGE media_index: 1 channel: 4
  start_seconds: 2.5 end_seconds: 3.5 fake_probability: 0.0625
  region { left: 0.1875 top: 0.3125 right: 0.4375 bottom: 0.5625 }
  heatmap { height: 1 width: 3 values: [0.25, 0.5, 0.75] }
}
suspicious_intervals {
  modality: MODALITY_AUDIO media_index: 5 channel: 6
  start_seconds: 6.5 end_seconds: 7.5 peak_probability: 0.6875
}
media {
  name: "film" kind: MEDIA_KIND_VIDEO container: "mov" video_codec: "h264" audio_codec: "aac" size_bytes: 10
  width: 11 height: 12 duration_seconds: 13.5 frame_rate: 14.5 rotation_degrees: 90 mirrored: true
  sample_rate: 15 channels: 16 warnings: "careful"
  source { sha256: "digest" etag: "tag" content_type: "video/mp4" last_modified { seconds: 1714953600 } }
}
timing { fetch_seconds: 0.5 decode_seconds: 1.5 queue_seconds: 2.5 inference_seconds: 3.5 total_seconds: 4.5 }
"""


def test_every_part_of_an_answer_gets_to_its_field() -> None:
    everything = text_format.Parse(EVERYTHING, pb.DetectResponse())
    assert answered(heatmap=True) == everything
    everything.timeline[0].ClearField("heatmap")
    assert answered(timeline=True) == everything
    everything.ClearField("timeline")
    assert answered() == everything


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"weights": pb.FusionWeights(image=1, video=2, audio=3)}, {"image": 1, "video": 2, "audio": 3}),
        ({"modalities": [pb.MODALITY_VIDEO]}, {"modalities": {"video"}}),
        ({"timeline": True}, {"timeline": True}),
        ({"heatmap": True}, {"timeline": True}),
        ({"threshold": 0}, {"threshold": 0}),
        ({"threshold": 1}, {"threshold": 1}),
        ({"frames_per_video": 1}, {"frames_per_video": 1}),
        ({"frames_per_video": 9}, {"frames_per_video": 9}),
    ],
)
def test_options_are_taken_up_to_their_limits(asked: dict[str, Any], given: dict[str, Any]) -> None:
    options = to_options(pb.DetectOptions(**asked), SETTINGS)
    for name, value in given.items():
        assert getattr(options.weights if "weights" in asked else options, name) == value


def test_requests_are_taken_up_to_their_limits() -> None:
    frames = pb.RawFrames(rgb=bytes(range(18)), count=1, height=2, width=3)
    full = [pb.Medium(content=CONTENT, kind=pb.MEDIA_KIND_AUDIO, name="n" * 1024), pb.Medium(frames=frames)]
    asked = detect_request(*full, request_id="i" * MAX_ID, priority=pb.PRIORITY_BATCH)
    before = time.monotonic()
    request = to_request(asked, SETTINGS, 7.0, copies=3)
    assert (request.media[0].source, request.media[0].kind) == (CONTENT, MediaKind.AUDIO)
    assert isinstance(request.media[1].source, RawFrames)
    assert request.media[1].source.pixels.tolist() == np.arange(18).reshape(1, 2, 3, 3).tolist()
    assert request.copies == 3
    assert request.urgency[0] == Priority.BATCH
    assert before + 7 <= request.deadline <= time.monotonic() + 7
    uploaded = to_uploaded_request(detect_request(full[0]), b"5678", SETTINGS, None)
    assert replace(uploaded.media[0], source=CONTENT) == request.media[0]
    assert uploaded.deadline >= before + SETTINGS.default_deadline_seconds
