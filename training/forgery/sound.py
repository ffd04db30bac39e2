"""Every way in which we forge sound, by name."""

from collections.abc import Callable

import numpy as np

from training.arrays import Pcm
from training.forgery import spectrogram, upsampling, vocoder

Operator = Callable[[np.random.Generator, Pcm, int], Pcm]

SOUND_OPERATORS: dict[str, tuple[Operator, float]] = {
    "griffin_lim": (spectrogram.from_magnitude, 0.22),
    "mel_griffin_lim": (spectrogram.from_mel, 0.22),
    "wrong_phase": (spectrogram.with_wrong_phase, 0.08),
    "coarse_features": (spectrogram.with_coarse_features, 0.08),
    "phase_vocoder": (spectrogram.stretched, 0.08),
    "linear_prediction": (vocoder.linear_prediction, 0.08),
    "harmonics_and_noise": (vocoder.harmonics_and_noise, 0.08),
    "overlapping_grains": (vocoder.overlapping_grains, 0.06),
    "imaged_band": (upsampling.imaged_band, 0.05),
    "transposed_convolution": (upsampling.transposed_convolution, 0.05),
}
"""Name → operator (generator, PCM, sample rate in Hz → PCM of the same length), share of the fakes."""
