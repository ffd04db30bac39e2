"""What is asked and what is answered, free of any transport."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

from server.engine.batch import Scores
from server.engine.manifest import MODALITIES, FusionWeights
from server.media.types import MediaFacts, MediaKind, MediaRows
from server.sources.fetched import SourceFacts
from server.urgency import Urgency

IMAGE, VIDEO, AUDIO = MODALITIES


class Stage(IntEnum):
    """Where a request begins: with rows, with files, or with URIs; each goes through those below it, too."""

    ENGINE = 0
    DECODE = 1
    FETCH = 2


class Verdict(StrEnum):
    REAL = "REAL"
    FAKE = "FAKE"
    INCONCLUSIVE = "INCONCLUSIVE"


class Reason(StrEnum):
    """Why a verdict is INCONCLUSIVE."""

    BETWEEN_THRESHOLDS = "BETWEEN_THRESHOLDS"
    TOO_SHORT = "TOO_SHORT"
    NO_EVIDENCE = "NO_EVIDENCE"


@dataclass(frozen=True, slots=True)
class RawFrames:
    """Decoded pictures: uint8 [F, H, W, 3] of the graph's size."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RawAudio:
    """Decoded mono sound: float32 [N] in [-1, 1] at `sample_rate` Hz."""

    pcm: NDArray[np.float32]
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Medium:
    """One medium: an encoded file, where to find one, or decoded rows. `kind` None: detect it."""

    source: bytes | str | RawFrames | RawAudio
    kind: MediaKind | None = None
    name: str = ""

    @property
    def size(self) -> int:
        """Bytes that came with the request."""
        match self.source:
            case bytes():
                return len(self.source)
            case RawFrames():
                return self.source.pixels.nbytes
            case RawAudio():
                return self.source.pcm.nbytes
            case _:
                return 0


@dataclass(frozen=True, slots=True)
class Options:
    """What decides the answer, as `deepfake.v1.DetectOptions`; None means the model's own value."""

    modalities: frozenset[str] = frozenset()
    threshold: float | None = None
    frames_per_video: int | None = None
    weights: FusionWeights | None = None
    timeline: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """Media of one subject.

    Attributes:
        urgency: has no influence on the answer.
        copies: of the media that are in memory until the answer is given, these included.
    """

    media: tuple[Medium, ...]
    urgency: Urgency
    options: Options = Options()
    copies: int = 1

    @property
    def deadline(self) -> float:
        """A time.monotonic()."""
        return self.urgency[1]

    @property
    def size(self) -> int:
        """Bytes of media that came with it."""
        return sum(medium.size for medium in self.media)


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One frame, clip or window: seconds, probability of fake, and for frames region and heatmap.

    `channel` is that of a window which is not of the mean of all.
    """

    modality: str
    media_index: int
    start_seconds: float
    end_seconds: float
    fake_probability: float
    region: tuple[float, float, float, float] | None = None
    heatmap: NDArray[np.float32] | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class SuspiciousInterval:
    """Seconds of a medium, or of one channel of its sound, whose rows reach the threshold for FAKE."""

    modality: str
    media_index: int
    start_seconds: float
    end_seconds: float
    peak_probability: float
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class ModalityScore:
    """Probability of fake by a modality, from so many rows; `weight` is its share in the verdict."""

    modality: str
    fake_probability: float
    rows: int
    weight: float


STAGES = ("fetch", "decode", "queue", "inference")
"""What a request goes through, in order; fields of Stopwatch."""


@dataclass(slots=True)
class Stopwatch:
    """Seconds a request spent in each stage; stages of several media add up.

    Attributes:
        laps: stage, begin and end as time.perf_counter(), and what else is to be known of it.
    """

    fetch: float = 0.0
    decode: float = 0.0
    queue: float = 0.0
    inference: float = 0.0
    total: float = 0.0
    laps: list[tuple[str, float, float, dict[str, int]]] = field(default_factory=list)

    def lap(self, stage: str, begin: float, end: float, **about: int) -> None:
        """Adds a stage of the request, or of one of its media."""
        setattr(self, stage, getattr(self, stage) + end - begin)
        self.laps.append((stage, begin, end, about))

    def ran(self, submitted: float, parts: Sequence[Scores]) -> None:
        """Adds what happened in the engine after `submitted`, a time.perf_counter(), to the slowest part."""
        scores = max(parts, key=lambda part: part.queue_seconds + part.inference_seconds)
        began = submitted + scores.queue_seconds
        self.lap("queue", submitted, began)
        self.lap("inference", began, began + scores.inference_seconds, batch_requests=scores.batch_requests)


@dataclass(frozen=True, slots=True)
class Detection:
    """The answer of one model.

    `fake_probability` is None when nothing could be judged, an entry of `sources` when the medium
    was not named by URI.
    """

    verdict: Verdict
    reason: Reason | None
    fake_probability: float | None
    modalities: tuple[ModalityScore, ...]
    rows: tuple[ScoredRow, ...]
    suspicious: tuple[SuspiciousInterval, ...]
    facts: tuple[MediaFacts, ...]
    sources: tuple[SourceFacts | None, ...]
    model_name: str
    model_version: str
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a request's verdict is made from."""

    media: tuple[MediaRows, ...]
    scores: Scores
    weights: NDArray[np.float32]
