"""From pieces of PCM to windows; needs no decoder, so that decoded input can come this way too."""

import numpy as np
from numpy.typing import NDArray

from server.media.types import MediaFacts, MediaRows, RowSpec

Sound = NDArray[np.float32]

MIN_SECONDS = 0.25
"""Less holds not one syllable, and repeating it to fill a window would make up evidence."""
AUDIBLE = 1e-4
"""Softer than the last steps of 16 bits is a muted microphone, and whatever is told of that is made up."""


def rows_of_pieces(
    facts: MediaFacts, pieces: list[Sound], spans: NDArray[np.float64], spec: RowSpec
) -> MediaRows:
    """Windows from pieces of sound: short ones are repeated to fill a window.

    Too short ones and silent ones are left out.

    Args:
        pieces: mono PCM at `spec.sample_rate`, each at most a window long.
        spans: float64 [N, 2], seconds at which each begins and ends.
    """
    enough = min(MIN_SECONDS * spec.sample_rate, spec.window_samples)
    kept = [index for index, piece in enumerate(pieces) if len(piece) >= enough]
    if len(kept) < len(pieces):
        missing = f"{len(pieces) - len(kept)} of {len(pieces)} windows of sound"
        facts = facts.warned(f"{missing} hold less than {MIN_SECONDS} s and were left out.")
    # Nobody hears a constant, which silence is in A-law.
    audible = [index for index in kept if np.ptp(pieces[index]) >= 2 * AUDIBLE]
    if len(audible) < len(kept):
        silent = f"{len(kept) - len(audible)} of {len(pieces)} windows of sound"
        facts = facts.warned(f"{silent} are silent and were left out.")
    windows = [np.resize(pieces[index], spec.window_samples) for index in audible]
    return MediaRows(
        facts,
        audio=np.stack(windows) if windows else np.zeros((0, spec.window_samples), np.float32),
        audio_times=spans[audible],
    )


def spans_of(pieces: list[Sound], starts: NDArray[np.int64], sample_rate: int) -> NDArray[np.float64]:
    """[N, 2] seconds of pieces that begin at these samples."""
    ends = starts + np.asarray([len(piece) for piece in pieces])
    return np.stack([starts, ends], 1) / sample_rate
