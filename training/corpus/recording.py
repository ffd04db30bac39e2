"""From a mouth to a file: the room, the microphone, its noise and what the recorder does to the level."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import butter, fftconvolve, sosfilt

from training.arrays import Pcm
from training.corpus.ambience import draw_noise
from training.draw import log_uniform


def record(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """Float64 of the same length, peak 1."""
    in_studio = rng.random() < 0.35
    if not in_studio and rng.random() < 0.75:
        pcm = _in_room(rng, pcm, rate)
    pcm = _through_microphone(rng, pcm, rate)
    pcm = pcm / (pcm.std() + 1e-9)
    quiet = rng.uniform(40, 85) if in_studio else rng.uniform(18, 70)
    pcm = pcm + draw_noise(rng, len(pcm), rate) * 10 ** (-quiet / 20)
    if rng.random() < 0.3:
        pcm = _compressed(rng, pcm, rate)
    if rng.random() < 0.25:
        pcm = _gated(rng, pcm, rate)
    if rng.random() < 0.15:
        pcm = np.tanh(pcm * rng.uniform(0.1, 0.6))
    return np.asarray(pcm / (np.abs(pcm).max() + 1e-9))


def equalise(rng: np.random.Generator, pcm: Pcm, decibels: float) -> Pcm:
    """A smooth random frequency response, `decibels` strong (one standard deviation)."""
    knots = rng.integers(4, 12)
    gains = rng.normal(0, decibels, knots)
    response = np.interp(np.linspace(0, 1, 513), np.linspace(0, 1, knots) ** 2, gains)
    impulse = np.fft.irfft(minimum_phase(10 ** (response / 20)))
    return np.asarray(fftconvolve(pcm, impulse)[: len(pcm)])


def _in_room(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """Convolves with direct sound, sparse early reflections and a tail that dies faster at high pitch."""
    decay = log_uniform(rng, 0.08, 0.9)
    length = round(min(decay, 0.6) * rate)
    time = np.arange(length) / rate
    tail = rng.standard_normal(length) * 10 ** (-3 * time / decay)
    muffled = sosfilt(butter(1, rng.uniform(1500, 0.45 * rate), fs=rate, output="sos"), tail)
    mix = np.clip(time / decay * 3, 0, 1)
    tail = ((1 - mix) * tail + mix * muffled) * (time > rng.uniform(0.002, 0.02))
    reflections = rng.integers(3, 25)
    where = (rng.uniform(0.001, 0.05, reflections) * rate).astype(int)
    early = np.zeros(length)
    inside = where < length
    np.add.at(early, where[inside], (rng.normal(0, 0.5, reflections) * np.exp(-where / rate / 0.03))[inside])
    response = early * rng.uniform(0, 0.7)
    response += tail / (np.linalg.norm(tail) + 1e-9) * 10 ** (-rng.uniform(2, 28) / 20)
    response[0] += 1
    return np.asarray(fftconvolve(pcm, response)[: len(pcm)])


def _through_microphone(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    pcm = equalise(rng, pcm, rng.uniform(0, 6))
    low = log_uniform(rng, 15, 350)
    pcm = sosfilt(butter(rng.integers(1, 4), low, "high", fs=rate, output="sos"), pcm)
    if rng.random() < 0.35:
        high = rng.uniform(2800, 0.49 * rate)
        pcm = sosfilt(butter(rng.integers(2, 10), high, fs=rate, output="sos"), pcm)
    return np.asarray(pcm)


def _compressed(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """Evens out loud and soft."""
    level = np.sqrt(uniform_filter1d(pcm**2, round(rate * rng.uniform(0.03, 0.3)))) + 1e-3
    return np.asarray(pcm * level ** -rng.uniform(0.1, 0.6))


def _gated(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """Mutes the pauses, as editors and phone prompts do."""
    level = maximum_filter1d(np.abs(pcm), round(rate * rng.uniform(0.03, 0.12)))
    is_open = (level > np.abs(pcm).max() * 10 ** (-rng.uniform(25, 45) / 20)).astype(float)
    floor = rng.choice([0.0, 0.01, 0.1])
    return np.asarray(
        pcm * np.maximum(uniform_filter1d(is_open, round(rate * rng.uniform(0.003, 0.05))), floor)
    )


def minimum_phase(magnitude: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Spectrum of the causal filter with this magnitude, which is positive, by its real cepstrum."""
    cepstrum = np.fft.irfft(np.log(magnitude))
    half = len(cepstrum) // 2
    cepstrum[1:half] *= 2
    cepstrum[half + 1 :] = 0
    return np.asarray(np.exp(np.fft.rfft(cepstrum)))
