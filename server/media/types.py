"""What the decoders are asked for and what they give: raw rows, nothing scaled or normalised."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from server.media.sampling import CENTRE


class MediaKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class RowSpec:
    """The rows that a graph wants from one medium.

    A photo gives `1 + crops` image rows: the whole picture squeezed to height x width,
    then crops at native resolution, where resampling has not yet wiped out fine traces.
    A video gives `frames` image rows spread evenly over its duration, `clips` clips of
    `clip_length` frames about `clip_stride_seconds` apart, and the windows of its sound.

    Attributes:
        phase: where in each of equal parts of a medium to look, in [0, 1); the centre by default.
        by_channel: so many windows of each channel where channels hold voices of their own, instead of
            windows of their mean. Training leaves it off: which of the voices is the fake one, its labels
            do not tell.
    """

    height: int = 256
    width: int = 256
    crops: int = 0
    frames: int = 5
    clips: int = 2
    clip_length: int = 5
    clip_stride_seconds: float = 0.04
    sample_rate: int = 16_000
    window_samples: int = 64_000
    windows: int = 16
    phase: float = CENTRE
    want_images: bool = True
    want_clips: bool = True
    want_audio: bool = True
    by_channel: bool = False


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What a file says of itself. Units and ranges as in `deepfake.v1.MediaFacts`."""

    kind: MediaKind
    container: str = ""
    video_codec: str = ""
    audio_codec: str = ""
    size_bytes: int = 0
    width: int = 0
    height: int = 0
    duration_seconds: float = 0.0
    frame_rate: float = 0.0
    rotation_degrees: int = 0
    mirrored: bool = False
    sample_rate: int = 0
    channels: int = 0
    warnings: tuple[str, ...] = ()

    def warned(self, *warnings: str) -> Self:
        """The same with more warnings."""
        return replace(self, warnings=self.warnings + warnings)


WHOLE_PICTURE = np.array([[0, 0, 1, 1]], np.float32)
"""The region of one image row that shows all of its picture."""
# Shared by all that have none, as nobody writes into rows.
_NO_FRAMES = np.zeros((0, 0, 0, 3), np.uint8)
_NO_INDEX = np.zeros(0, np.int64)
_NO_CLIPS = np.zeros((0, 0), np.int64)
_NO_TIMES = np.zeros((0, 2), np.float64)
_NO_REGIONS = np.zeros((0, 4), np.float32)
_NO_AUDIO = np.zeros((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class MediaRows:
    """The rows of one medium; I, C or A may be 0, and then the other axes of those arrays too.

    Attributes:
        frames: uint8 [F, H, W, 3], upright RGB.
        image_index: int64 [I] into frames.
        image_times: float64 [I, 2], start and end in seconds; zeros for a photo.
        image_regions: float32 [I, 4], left, top, right, bottom as fractions of the upright picture.
        clip_index: int64 [C, T] into frames.
        clip_times: float64 [C, 2].
        audio: float32 [A, S], PCM in [-1, 1]; sound shorter than S is repeated to fill it.
        audio_times: float64 [A, 2].
        audio_channel: int64 [A], the channel that each row is of; [0] if they are of the mean of all.
    """

    facts: MediaFacts
    frames: NDArray[np.uint8] = field(default_factory=lambda: _NO_FRAMES)
    image_index: NDArray[np.int64] = field(default_factory=lambda: _NO_INDEX)
    image_times: NDArray[np.float64] = field(default_factory=lambda: _NO_TIMES)
    image_regions: NDArray[np.float32] = field(default_factory=lambda: _NO_REGIONS)
    clip_index: NDArray[np.int64] = field(default_factory=lambda: _NO_CLIPS)
    clip_times: NDArray[np.float64] = field(default_factory=lambda: _NO_TIMES)
    audio: NDArray[np.float32] = field(default_factory=lambda: _NO_AUDIO)
    audio_times: NDArray[np.float64] = field(default_factory=lambda: _NO_TIMES)
    audio_channel: NDArray[np.int64] = field(default_factory=lambda: _NO_INDEX)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Image rows, clips, windows of sound."""
        return len(self.image_index), len(self.clip_index), len(self.audio)

    def warned(self, *warnings: str) -> Self:
        """The same with more warnings."""
        return replace(self, facts=self.facts.warned(*warnings))
