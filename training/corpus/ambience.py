"""Sound that is not speech: coloured noise, hum, and simple music."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from training.arrays import Pcm


def draw_noise(rng: np.random.Generator, samples: int, rate: int) -> Pcm:
    """Background noise with unit standard deviation: white to brown, steady or not, with or without hum."""
    noise = _coloured(rng, samples, slope=rng.uniform(-0.3, 2.2))
    if rng.random() < 0.4:
        swell = gaussian_filter1d(rng.standard_normal(samples // 64 + 2), rate / 64 * rng.uniform(0.03, 0.4))
        swell = rng.uniform(0.2, 1.2) * swell / (swell.std() + 1e-9)
        # Of a short sound hardly anything but its mean is left, which may be too much or too little for exp.
        swell = np.exp(swell - swell.max() if np.abs(swell).max() > 100 else swell)
        noise = noise * np.interp(np.arange(samples) / 64, np.arange(len(swell)), swell)
    if rng.random() < 0.25:
        noise = noise / noise.std() + _hum(rng, samples, rate) * rng.uniform(0.2, 2)
    return np.asarray(noise / (noise.std() + 1e-9))


def draw_music(rng: np.random.Generator, seconds: float, rate: int) -> Pcm:
    """Notes that are struck and die away, with drum-like bursts; peak 1."""
    samples = round(seconds * rate)
    mix = np.zeros(samples)
    root = rng.uniform(80, 400)
    beat = rng.uniform(0.12, 0.5)
    brightness, decay = rng.uniform(0.6, 2.0), rng.uniform(0.1, 1.5)
    for start in np.arange(0, seconds, beat):
        if rng.random() < 0.8:
            pitch = root * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 16, 19]) / 12)
            _add(mix, round(start * rate), _note(rng, pitch, brightness, decay, rate))
        if rng.random() < 0.4:
            _add(mix, round(start * rate), _drum(rng, rate))
    return np.asarray(mix / (np.abs(mix).max() + 1e-9))


def _coloured(rng: np.random.Generator, samples: int, slope: float) -> Pcm:
    """Gaussian noise whose power falls as 1 / frequency ** slope."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples), 20 / samples)
    return np.fft.irfft(spectrum * frequency ** (-slope / 2), samples)


def _hum(rng: np.random.Generator, samples: int, rate: int) -> Pcm:
    mains = rng.choice([50.0, 60.0])
    time = np.arange(samples) / rate
    hum = np.zeros(samples)
    for k in range(1, 9):
        hum += rng.exponential(1 / k) * np.sin(2 * np.pi * (mains * k * time + rng.random()))
    return hum


def _note(rng: np.random.Generator, pitch: float, brightness: float, decay: float, rate: int) -> Pcm:
    time = np.arange(round(3 * decay * rate)) / rate
    stretch = rng.uniform(0, 3e-4)
    note = np.zeros_like(time)
    for k in range(1, int(min(30, 0.45 * rate / pitch)) + 1):
        partial = pitch * k * np.sqrt(1 + stretch * k * k)
        if partial < 0.48 * rate:
            wave = np.sin(2 * np.pi * (partial * time + rng.random()))
            note += k**-brightness * wave * np.exp(-time / decay * (1 + 0.15 * k))
    attack = np.minimum(time / rng.uniform(0.002, 0.03), 1)
    return note * attack * rng.uniform(0.3, 1)


def _drum(rng: np.random.Generator, rate: int) -> Pcm:
    time = np.arange(round(0.2 * rate)) / rate
    return _coloured(rng, len(time), rng.uniform(-1, 2)) * np.exp(-time / rng.uniform(0.01, 0.06))


def _add(mix: Pcm, start: int, sound: Pcm) -> None:
    stop = min(len(mix), start + len(sound))
    mix[start:stop] += sound[: stop - start]
