"""Sound whose channels hold voices of their own: each is judged alone, and the most suspicious one counts.

Aggregated with the others' windows, those of a forged voice would be diluted until it passes.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from server.engine.batch import Rows, Scores
from server.engine.manifest import MODALITIES
from server.media.types import MediaRows

Owners = NDArray[np.int64]
"""int64 [A]: which of the parts each window of a request is in."""

_AUDIO = MODALITIES.index("audio")
# Of windows that are of no one channel; there are fewer channels than this.
_MIXED, _CHANNELS = -1, 1_000


def split(rows: Rows, media: Sequence[MediaRows]) -> tuple[list[Rows], Owners]:
    """A request's rows as parts to be judged each by itself; one, unless there are channels of their own.

    The first has all pictures. What is mixed is in one part, whichever media it comes from.
    """
    if not any(len(medium.audio_channel) for medium in media):
        return [rows], np.zeros(len(rows.audio), np.int64)
    _, owners = np.unique(np.concatenate([_keys(*each) for each in enumerate(media)]), return_inverse=True)
    count = int(owners.max(initial=0)) + 1
    first = replace(rows, audio=rows.audio[owners == 0])
    nothing = replace(
        rows, frames=rows.frames[:0], image_index=rows.image_index[:0], clip_index=rows.clip_index[:0]
    )
    return [first, *(replace(nothing, audio=rows.audio[owners == part]) for part in range(1, count))], owners


def join(scores: Sequence[Scores], owners: Owners, weights: NDArray[np.float32]) -> Scores:
    """The scores of the request from those of its parts."""
    first = scores[0]
    if len(scores) == 1:
        return first
    windows = np.zeros(len(owners), np.float32)
    for part, score in enumerate(scores):
        windows[owners == part] = score.audio_probability
    probability = first.modality_probability.copy()
    probability[_AUDIO] = np.max([score.modality_probability[_AUDIO] for score in scores])
    fused = _fused(probability[first.modality_present], weights[first.modality_present])
    return replace(first, fake_probability=fused, modality_probability=probability, audio_probability=windows)


def _fused(probabilities: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    """As the graph does it."""
    return float(np.average(probabilities, weights=weights / weights.max())) if len(weights) else 0.0


def _keys(number: int, rows: MediaRows) -> NDArray[np.int64]:
    if not len(rows.audio_channel):
        return np.full(len(rows.audio), _MIXED)
    return number * _CHANNELS + rows.audio_channel
