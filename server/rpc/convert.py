"""Between the wire and the transport-free request and answer of `server.detect`."""

import time

import numpy as np

from deepfake.v1 import detector_pb2 as pb
from server.detect.request import (
    Detection,
    Medium,
    Options,
    RawAudio,
    RawFrames,
    Request,
    ScoredRow,
    Stopwatch,
    Verdict,
)
from server.detect.tensors import LOUDEST
from server.engine.manifest import FusionWeights
from server.errors import InvalidRequest, MediaLimitExceeded
from server.media.types import MediaFacts, MediaKind
from server.settings import Settings
from server.sources.fetched import SourceFacts
from server.urgency import Priority

_KINDS = {
    pb.MEDIA_KIND_IMAGE: MediaKind.IMAGE,
    pb.MEDIA_KIND_VIDEO: MediaKind.VIDEO,
    pb.MEDIA_KIND_AUDIO: MediaKind.AUDIO,
}
_VERDICTS = {verdict: pb.Verdict.Value(f"VERDICT_{verdict}") for verdict in Verdict}
_WIRE_KINDS = {kind: number for number, kind in _KINDS.items()}
_MODALITIES = {pb.MODALITY_IMAGE: "image", pb.MODALITY_VIDEO: "video", pb.MODALITY_AUDIO: "audio"}
WIRE_MODALITIES = {name: number for number, name in _MODALITIES.items()}
_PRIORITIES: dict[int, Priority] = {
    pb.PRIORITY_UNSPECIFIED: Priority.NORMAL,
    pb.PRIORITY_BATCH: Priority.BATCH,
    pb.PRIORITY_NORMAL: Priority.NORMAL,
    pb.PRIORITY_INTERACTIVE: Priority.INTERACTIVE,
}

MAX_ID = 256
"""Characters of a request's id."""
_MAX_NAME = 1024
# More than there are, so that nobody has us look at millions.
_MAX_MODALITIES = 16


def to_request(
    message: pb.DetectRequest, settings: Settings, seconds: float | None, copies: int = 1
) -> Request:
    """Checks a message against the contract.

    Args:
        seconds: until the caller's deadline; None if it set none.
        copies: of the media that are in memory until the answer is given.

    Raises:
        InvalidRequest: the message contradicts the contract.
        MediaLimitExceeded: a medium is too large.
    """
    if not 1 <= len(message.media) <= settings.max_media_per_request:
        raise InvalidRequest(
            f"a request has 1 to {settings.max_media_per_request} media, not {len(message.media)}"
        )
    media = tuple(_medium(medium, number, settings) for number, medium in enumerate(message.media))
    return _request(message, media, settings, seconds, copies)


def to_uploaded_request(
    message: pb.DetectRequest, content: bytes, settings: Settings, seconds: float | None
) -> Request:
    """The same for a message whose one medium came apart from it, as `content`.

    Raises:
        InvalidRequest: the message contradicts the contract.
    """
    (medium,) = message.media
    media = (Medium(content, _kind(medium, 0), medium.name),)
    return _request(message, media, settings, seconds, copies=1)


def _request(
    message: pb.DetectRequest,
    media: tuple[Medium, ...],
    settings: Settings,
    seconds: float | None,
    copies: int,
) -> Request:
    if len(message.id) > MAX_ID:
        raise InvalidRequest(f"id is longer than {MAX_ID} characters")
    allowed = settings.default_deadline_seconds if seconds is None else seconds
    urgency = _priority(message.options.priority), time.monotonic() + allowed
    return Request(media, urgency, to_options(message.options, settings), copies)


def to_options(message: pb.DetectOptions, settings: Settings) -> Options:
    """Raises InvalidRequest if a value is out of its range."""
    if len(message.modalities) > _MAX_MODALITIES:
        raise InvalidRequest(f"options.modalities has more than {_MAX_MODALITIES} values")
    if unknown := [number for number in message.modalities if number not in _MODALITIES]:
        raise InvalidRequest(f"options.modalities: unknown value {unknown[0]}")
    threshold = message.threshold if message.HasField("threshold") else None
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidRequest(f"options.threshold: must be in [0, 1], not {threshold}")
    frames = message.frames_per_video if message.HasField("frames_per_video") else None
    if frames is not None and not 1 <= frames <= settings.max_frames_per_video:
        raise InvalidRequest(
            f"options.frames_per_video: must be 1 to {settings.max_frames_per_video}, not {frames}"
        )
    return Options(
        frozenset(_MODALITIES[number] for number in message.modalities),
        threshold,
        frames,
        _weights(message.weights) if message.HasField("weights") else None,
        message.timeline or message.heatmap,
    )


def to_response(request: pb.DetectRequest, detection: Detection, timing: Stopwatch) -> pb.DetectResponse:
    """The answer, with as much detail as the request asked for."""
    options = request.options
    response = pb.DetectResponse(
        id=request.id,
        verdict=_VERDICTS[detection.verdict],
        fake_probability=detection.fake_probability,
        model_name=detection.model_name,
        model_version=detection.model_version,
        cached=detection.cached,
        timing=pb.Timing(
            fetch_seconds=timing.fetch,
            decode_seconds=timing.decode,
            queue_seconds=timing.queue,
            inference_seconds=timing.inference,
            total_seconds=timing.total,
        ),
    )
    if detection.reason:
        response.inconclusive_reason = pb.InconclusiveReason.Value(f"INCONCLUSIVE_REASON_{detection.reason}")
    for score in detection.modalities:
        response.modalities.add(
            modality=WIRE_MODALITIES[score.modality],
            fake_probability=score.fake_probability,
            rows=score.rows,
            weight=score.weight,
        )
    for interval in detection.suspicious:
        response.suspicious_intervals.add(
            modality=WIRE_MODALITIES[interval.modality],
            media_index=interval.media_index,
            start_seconds=interval.start_seconds,
            end_seconds=interval.end_seconds,
            peak_probability=interval.peak_probability,
            channel=interval.channel,
        )
    for medium, facts, source in zip(request.media, detection.facts, detection.sources, strict=True):
        response.media.append(_facts(medium.name, facts))
        if source:
            response.media[-1].source.CopyFrom(_source(source))
    if options.timeline or options.heatmap:
        response.timeline.extend(_entry(row, options.heatmap) for row in detection.rows)
    return response


def _medium(message: pb.Medium, number: int, settings: Settings) -> Medium:
    kind = _kind(message, number)
    match message.WhichOneof("source"):
        case "content":
            # Once, because each look at the field copies it.
            content = message.content
            _check_size(content, number, settings)
            return Medium(content, kind, message.name)
        case "uri":
            return Medium(message.uri, kind, message.name)
        case "frames":
            return Medium(_frames(message.frames, number, settings), kind, message.name)
        case "audio":
            return Medium(_audio(message.audio, number, settings), kind, message.name)
        case _:
            raise InvalidRequest(f"media[{number}] has no source: set content, uri, frames or audio")


def _kind(message: pb.Medium, number: int) -> MediaKind | None:
    if len(message.name) > _MAX_NAME:
        raise InvalidRequest(f"media[{number}].name is longer than {_MAX_NAME} characters")
    if message.kind and message.kind not in _KINDS:
        raise InvalidRequest(f"media[{number}].kind: unknown value {message.kind}")
    return _KINDS.get(message.kind)


def _check_size(content: bytes, number: int, settings: Settings) -> None:
    if len(content) > settings.max_media_bytes:
        raise MediaLimitExceeded(
            f"media[{number}] has {len(content)} bytes, more than {settings.max_media_bytes}"
        )


def _frames(message: pb.RawFrames, number: int, settings: Settings) -> RawFrames:
    shape = (message.count, message.height, message.width, 3)
    needed = message.count * message.height * message.width * 3
    rgb = message.rgb
    _check_size(rgb, number, settings)
    if needed == 0 or len(rgb) != needed:
        raise InvalidRequest(
            f"media[{number}].frames.rgb has {len(rgb)} bytes; "
            f"{message.count} x {message.height} x {message.width} x 3 is {needed}"
        )
    return RawFrames(np.frombuffer(rgb, np.uint8).reshape(shape))


def _audio(message: pb.RawAudio, number: int, settings: Settings) -> RawAudio:
    sound = message.pcm
    _check_size(sound, number, settings)
    if not sound or len(sound) % 4 or not message.sample_rate:
        raise InvalidRequest(f"media[{number}].audio needs float32 pcm and a sample_rate")
    pcm = np.frombuffer(sound, "<f4")
    # Written so that it fails for NaN.
    if not (pcm.min() >= -LOUDEST and pcm.max() <= LOUDEST):
        raise InvalidRequest(f"media[{number}].audio.pcm must be finite sound in [-1, 1]")
    return RawAudio(pcm, message.sample_rate)


def _priority(number: int) -> Priority:
    if number not in _PRIORITIES:
        raise InvalidRequest(f"options.priority: unknown value {number}")
    return _PRIORITIES[number]


def _weights(message: pb.FusionWeights) -> FusionWeights:
    values = (message.image, message.video, message.audio)
    if not np.isfinite(values).all() or min(values) < 0 or max(values) == 0:
        raise InvalidRequest("options.weights: each must be finite and >= 0, and one of them > 0")
    return FusionWeights(image=message.image, video=message.video, audio=message.audio)


def _facts(name: str, facts: MediaFacts) -> pb.MediaFacts:
    return pb.MediaFacts(
        name=name,
        kind=_WIRE_KINDS[facts.kind],
        container=facts.container,
        video_codec=facts.video_codec,
        audio_codec=facts.audio_codec,
        size_bytes=facts.size_bytes,
        width=facts.width,
        height=facts.height,
        duration_seconds=facts.duration_seconds,
        frame_rate=facts.frame_rate,
        rotation_degrees=facts.rotation_degrees,
        mirrored=facts.mirrored,
        sample_rate=facts.sample_rate,
        channels=facts.channels,
        warnings=facts.warnings,
    )


def _source(facts: SourceFacts) -> pb.SourceFacts:
    message = pb.SourceFacts(sha256=facts.sha256, etag=facts.etag, content_type=facts.content_type)
    if facts.last_modified:
        message.last_modified.FromDatetime(facts.last_modified)
    return message


def _entry(row: ScoredRow, with_heatmap: bool) -> pb.TimelineEntry:
    entry = pb.TimelineEntry(
        modality=WIRE_MODALITIES[row.modality],
        media_index=row.media_index,
        start_seconds=row.start_seconds,
        end_seconds=row.end_seconds,
        fake_probability=row.fake_probability,
        channel=row.channel,
    )
    if row.region is not None:
        left, top, right, bottom = row.region
        entry.region.CopyFrom(pb.Region(left=left, top=top, right=right, bottom=bottom))
    if with_heatmap and row.heatmap is not None:
        height, width = row.heatmap.shape
        entry.heatmap.CopyFrom(pb.Heatmap(height=height, width=width, values=row.heatmap.ravel()))
    return entry
