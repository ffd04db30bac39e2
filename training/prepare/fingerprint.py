"""256 bits that stay nearly the same when a medium is re-encoded or resized.

Pictures: PDQ (Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm",
2019): of the 64 x 64 luminance, which of the 16 x 16 lowest frequencies of its cosine transform,
without the constant rows, lie above their median. The decoder's area filter stands in for PDQ's
own, and of a video the mean of its frames is hashed.

Sound: Haitsma & Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): the sign of the
difference of band energies in both frequency and time, over bands and times that overlap. Theirs
are many short times, to find an excerpt; ours are 17 over the whole sound, to find a copy.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from training.arrays import LUMA

SIDE = 64
"""Height and width of the pictures that are hashed."""

_SIGNS = 16
"""Bits in each direction."""
_FLAT = 3.0

_FRAME, _HOP = 1024, 256
_LOWEST_HZ, _HIGHEST_HZ = 200.0, 3500.0
_OVERLAP = 3
_PARTS = _SIGNS + _OVERLAP
_SILENCE = 1e-4
# Of the mean energy: below it codecs put noise where there was silence. Nor do they keep every hundredth.
_FLOOR, _NOTHING = 1e-4, 0.02


def picture_fingerprint(frames: NDArray[np.uint8]) -> bytes | None:
    """PDQ of the mean of some frames.

    Args:
        frames: [F, SIDE, SIDE, 3], RGB.

    Returns:
        32 bytes; None for a picture too flat to tell from others.
    """
    luminance = frames.mean(0) @ np.asarray(LUMA)
    if luminance.std() < _FLAT:
        return None
    coefficients = dctn(luminance, norm="ortho")[1 : _SIGNS + 1, 1 : _SIGNS + 1]
    return np.packbits(coefficients > np.median(coefficients)).tobytes()


def sound_fingerprint(sound: NDArray[np.float32], sample_rate: int) -> bytes | None:
    """Where energy moves between bands and between times.

    Args:
        sound: [S], mono.

    Returns:
        32 bytes; None for silence, or too few samples.
    """
    if len(sound) < _FRAME + _HOP * _PARTS or np.abs(sound).max() < _SILENCE:
        return None
    frames = np.lib.stride_tricks.sliding_window_view(sound, _FRAME)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_FRAME).astype(np.float32))) ** 2
    # Sums over every rectangle of times and frequencies, as differences of sums from the corner.
    sums = np.pad(power.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    times = np.linspace(0, len(power), _PARTS + 1).astype(int)
    bands = (np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _PARTS + 1) * _FRAME / sample_rate).astype(int)
    corners = sums[np.ix_(times, bands)]
    over_time = corners[_OVERLAP:] - corners[:-_OVERLAP]
    energy = over_time[:, _OVERLAP:] - over_time[:, :-_OVERLAP]
    level = np.log(energy + _FLOOR * energy.mean())
    return np.packbits(np.diff(np.diff(level, axis=0), axis=1) > _NOTHING).tobytes()
