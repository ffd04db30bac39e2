"""Traces of networks that build sound by upsampling: images above the old bandwidth, periodic patterns."""

import librosa
import numpy as np
from scipy.signal import firwin, lfilter, resample_poly

from training.arrays import Pcm
from training.draw import log_uniform


def imaged_band(rng: np.random.Generator, pcm: Pcm, _rate: int) -> Pcm:
    """Decimates, then upsamples with a poor filter, so that the top band is a mirror of the lower."""
    factor = int(rng.choice([2, 2, 3, 4]))
    low = resample_poly(pcm, 1, factor)
    match rng.integers(3):
        case 0:
            high = np.repeat(low, factor)
        case 1:
            high = np.interp(np.arange(len(low) * factor) / factor, np.arange(len(low)), low)
        case _:
            stuffed = np.zeros(len(low) * factor)
            stuffed[::factor] = low * factor
            taps = firwin(int(rng.integers(5, 16)), 1 / factor)
            high = lfilter(taps, [1.0], stuffed)
    return librosa.util.fix_length(high, size=len(pcm))


def transposed_convolution(rng: np.random.Generator, pcm: Pcm, _rate: int) -> Pcm:
    """Gains and offsets that repeat with the strides of a generator: tonal lines and checkerboards."""
    out = pcm.copy()
    for stride in rng.choice([2, 4, 8, 16, 32, 64, 128, 256], size=rng.integers(1, 4), replace=False):
        pattern = rng.normal(0, log_uniform(rng, 0.01, 0.2), stride)
        out *= 1 + np.resize(pattern - pattern.mean(), len(pcm))
    return out
