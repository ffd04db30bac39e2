"""Predictions: one flat record for each medium."""

from dataclasses import dataclass, fields
from typing import Any

from clients.errors import DetectionError
from clients.requests import Answer
from deepfake.v1 import detector_pb2 as pb


@dataclass(frozen=True, slots=True)
class Prediction:
    """The columns of a CSV or Parquet file and the keys of JSON lines; empty or null where it does not apply.

    Attributes:
        path: file or URI, as it was given or found.
        verdict: REAL, FAKE or INCONCLUSIVE; empty if the medium failed.
        reason: why it is INCONCLUSIVE: BETWEEN_THRESHOLDS, TOO_SHORT or NO_EVIDENCE.
        fake_probability: fused, in [0, 1].
        image_probability, video_probability, audio_probability: by modality, in [0, 1].
        image_rows, video_rows, audio_rows: frames, clips and windows that were judged.
        kind: what the medium is: IMAGE, VIDEO or AUDIO.
        duration_seconds: of the medium; 0 for a photo.
        width, height: pixels of the upright picture; 0 without one.
        size_bytes: of the encoded file.
        total_seconds: from arrival at the server to its answer.
        model_name, model_version: who answered.
        error_code, error_message, error_hint: of a medium that failed.
    """

    path: str
    verdict: str | None = None
    reason: str | None = None
    fake_probability: float | None = None
    image_probability: float | None = None
    image_rows: int | None = None
    video_probability: float | None = None
    video_rows: int | None = None
    audio_probability: float | None = None
    audio_rows: int | None = None
    kind: str | None = None
    duration_seconds: float | None = None
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    total_seconds: float | None = None
    model_name: str | None = None
    model_version: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    error_hint: str | None = None


COLUMNS = [field.name for field in fields(Prediction)]


def prediction(path: str, answer: Answer) -> Prediction:
    """The record of one medium."""
    if isinstance(answer, DetectionError):
        return Prediction(
            path, error_code=answer.code, error_message=answer.message, error_hint=answer.hint or None
        )
    inconclusive = answer.verdict == pb.VERDICT_INCONCLUSIVE
    facts = answer.media[0] if answer.media else pb.MediaFacts()
    return Prediction(
        path=path,
        verdict=short_name(pb.Verdict, answer.verdict),
        reason=short_name(pb.InconclusiveReason, answer.inconclusive_reason) if inconclusive else None,
        fake_probability=round(answer.fake_probability, 6) if answer.HasField("fake_probability") else None,
        **_by_modality(answer),
        kind=short_name(pb.MediaKind, facts.kind),
        duration_seconds=round(facts.duration_seconds, 6),
        width=facts.width,
        height=facts.height,
        size_bytes=facts.size_bytes,
        total_seconds=round(answer.timing.total_seconds, 6),
        model_name=answer.model_name,
        model_version=answer.model_version,
    )


def _by_modality(answer: pb.DetectResponse) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for score in answer.modalities:
        name = short_name(pb.Modality, score.modality).lower()
        columns[f"{name}_probability"] = round(score.fake_probability, 6)
        columns[f"{name}_rows"] = score.rows
    return columns


def short_name(enum: Any, value: int) -> str:
    """FAKE for VERDICT_FAKE, BETWEEN_THRESHOLDS for INCONCLUSIVE_REASON_BETWEEN_THRESHOLDS, and so on.

    A value that this client does not know yet is given as its number.
    """
    if value not in enum.values():
        return str(value)
    prefix = enum.Name(0).removesuffix("UNSPECIFIED")
    return str(enum.Name(value)).removeprefix(prefix)
