"""What befalls sound on its way, whether it was forged or not.

All take float64 [N] mono at `rate` Hz and give as many samples. `level` is in each one's own unit.
"""

import numpy as np
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from training.arrays import Pcm
from training.corpus.ambience import draw_noise
from training.corpus.sound_files import FORMATS, LOSSY_FORMATS, through_file


def codec(rng: np.random.Generator, pcm: Pcm, rate: int, level: float) -> Pcm:
    """MP3, AAC or Opus at `level` kilobits a second."""
    extension = str(rng.choice(LOSSY_FORMATS))
    # Above 24 kHz, MP3 has no less than 32 kbit/s, which its encoder would take without a word.
    wanted = min(rate, 24_000) if extension == "mp3" and level < 32 else rate
    between = min((r for r in FORMATS[extension][2] if r >= 16_000), key=lambda r: abs(r - wanted))
    return _fitted(through_file(pcm, rate, between, extension, round(level)), len(pcm))


def resample(rng: np.random.Generator, pcm: Pcm, rate: int, level: float) -> Pcm:  # noqa: ARG001  nothing is drawn
    """To a sample rate of `level` Hz and back."""
    return _fitted(soxr.resample(soxr.resample(pcm, rate, level), level, rate), len(pcm))


def noise(rng: np.random.Generator, pcm: Pcm, rate: int, level: float) -> Pcm:
    """Background noise `level` dB below the sound."""
    loudness: float = pcm.std() * 10 ** (-level / 20)
    return pcm + draw_noise(rng, len(pcm), rate) * loudness


def room(rng: np.random.Generator, pcm: Pcm, rate: int, level: float) -> Pcm:
    """A room whose sound dies away by 60 dB in `level` seconds, as loud as what comes straight."""
    time = np.arange(round(level * rate)) / rate
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / level)
    # Sound takes a few milliseconds to the nearest wall and back.
    tail[: round(0.003 * rate)] = 0
    response = tail / (np.linalg.norm(tail) + 1e-9)
    response[0] = 1
    return np.asarray(fftconvolve(pcm, response)[: len(pcm)])


def band_limit(rng: np.random.Generator, pcm: Pcm, rate: int, level: float) -> Pcm:  # noqa: ARG001  nothing is drawn
    """Without what is above `level` Hz, or below a tenth of that, at most 300 Hz, as over a telephone."""
    low, high = min(300.0, level / 10), min(level, 0.49 * rate)
    return np.asarray(sosfilt(butter(6, (low, high), "band", fs=rate, output="sos"), pcm))


def unclipped(pcm: Pcm) -> Pcm:
    """Made softer if it leaves [-1, 1]: cut off there, it would be perturbed in another way."""
    return pcm / max(1.0, float(np.abs(pcm).max()))


def _fitted(pcm: Pcm, length: int) -> Pcm:
    """Codecs add a little at the end, and rates do not always divide."""
    return np.asarray(np.pad(pcm[:length], (0, max(0, length - len(pcm)))), np.float64)
