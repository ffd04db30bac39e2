"""Speech taken apart into pitch and envelope and put together again."""

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.signal import lfilter

from training.arrays import Pcm
from training.corpus.recording import minimum_phase


def linear_prediction(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """An all-pole envelope per frame, driven by a pulse train or noise (Atal and Hanauer, 1971)."""
    hop = round(rate * rng.uniform(0.005, 0.02))
    size = round(hop * rng.uniform(2, 4))
    order = int(rng.integers(10, 14) + rate / 1000 * rng.uniform(0.5, 1.2))
    pitch, voiced = _pitch(rng, pcm, rate, hop)
    source = _buzz_and_hiss(rng, pitch, voiced, len(pcm), hop, rate)
    window = np.hanning(size)
    padded = np.pad(pcm, (size // 2, size))
    out = np.zeros(len(pcm) + 2 * size)
    weight = np.full_like(out, 1e-6)
    tail = np.pad(source, (size // 2, size))
    for start in range(0, len(pcm), hop):
        coefficients, gain = _all_pole(padded[start : start + size] * window, order)
        piece = tail[start : start + size] * window
        energy = np.sqrt(np.mean(piece**2)) + 1e-9
        out[start : start + size] += lfilter([gain / energy], coefficients, piece) * window
        weight[start : start + size] += window**2
    return (out / np.maximum(weight, 0.1))[size // 2 : size // 2 + len(pcm)]


def harmonics_and_noise(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """A smooth envelope over minimum- or zero-phase pulses and noise, as in WORLD (Morise et al., 2016)."""
    hop = round(rate * 0.005)
    n_fft = 2048 if rate > 20_000 else 1024
    pitch, voiced = _pitch(rng, pcm, rate, hop)
    pitch = pitch * 2 ** (rng.normal(0, 2) / 12) if rng.random() < 0.5 else pitch
    envelope = _envelope(pcm, pitch, hop, n_fft, rate)
    if rng.random() < 0.3:
        envelope = _warped(envelope, rng.uniform(0.85, 1.18))
    causal = rng.random() < 0.7
    crossover = rng.uniform(2000, 7000)
    noisy = 1 / (1 + np.exp(-(np.linspace(0, rate / 2, n_fft // 2 + 1) - crossover) / 500))
    noisy = np.clip(noisy + rng.uniform(0, 0.15), 0, 1)
    out = np.zeros(len(pcm) + 2 * n_fft)
    for at, frame, is_voiced in _pulses(pitch, voiced, len(pcm), hop, rate):
        magnitude = envelope[:, frame]
        response = minimum_phase(np.maximum(magnitude, 1e-9)) if causal else magnitude
        period = rate / pitch[frame] if is_voiced else hop
        hiss = np.fft.rfft(rng.standard_normal(round(period)), n_fft)
        share = noisy if is_voiced else 1.0
        pulse = np.sqrt(period * (1 - share)) if is_voiced else 0.0
        out[at : at + n_fft] += np.fft.irfft(response * (pulse + np.sqrt(share) * hiss), n_fft)
    return out[: len(pcm)]


def overlapping_grains(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """Pitch or formants moved by re-spacing grains of two periods (PSOLA, Moulines and Charpentier, 1990)."""
    hop = round(rate * 0.005)
    pitch, _ = _pitch(rng, pcm, rate, hop)
    ratio = 2 ** (rng.choice([-1, 1]) * rng.uniform(1.5, 7) / 12)
    formants = 2 ** (rng.normal(0, 2) / 12) if rng.random() < 0.5 else 1.0
    marks = _marks(pcm, pitch, hop, rate)
    out, weight = np.zeros(len(pcm)), np.full(len(pcm), 1e-3)
    now = float(marks[0])
    while now < len(pcm):
        mark = int(marks[np.argmin(np.abs(marks - now))])
        period = rate / pitch[min(mark // hop, len(pitch) - 1)]
        reach = int(period)
        offsets = np.arange(-reach, reach + 1)
        grain = np.interp(mark + offsets * formants, np.arange(len(pcm)), pcm)
        window = np.hanning(len(grain))
        where = int(now) + offsets
        inside = (where >= 0) & (where < len(pcm))
        out[where[inside]] += (grain * window)[inside]
        weight[where[inside]] += window[inside]
        now += max(period / ratio, 16)
    return np.asarray(out / np.maximum(weight, 0.3))


def _pitch(rng: np.random.Generator, pcm: Pcm, rate: int, hop: int) -> tuple[Pcm, NDArray[np.bool_]]:
    """Hz and whether it is a voice, one per hop, by the peak of the autocorrelation."""
    size = int(2 ** np.ceil(np.log2(rate * 0.04)))
    frames = librosa.util.frame(np.pad(pcm, size // 2), frame_length=size, hop_length=hop).T
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(size), 2 * size)) ** 2
    frequency = np.fft.rfftfreq(2 * size, 1 / rate)
    correlation = np.fft.irfft(spectrum * (frequency < 1200))[:, :size]
    correlation /= correlation[:, :1] + 1e-9
    correlation /= np.maximum(1 - np.arange(size) / size, 0.2)
    low, high = int(rate / 400), int(rate / 65)
    lag = low + np.argmax(correlation[:, low:high], axis=1)
    strength = np.take_along_axis(correlation, lag[:, None], axis=1)[:, 0]
    loud = frames.std(axis=1) > 0.03 * pcm.std()
    pitch = median_filter(rate / lag, 5) * (1 + rng.normal(0, 0.003, len(lag)))
    return pitch, median_filter(loud & (strength > rng.uniform(0.35, 0.55)), 5)


def _buzz_and_hiss(
    rng: np.random.Generator, pitch: Pcm, voiced: NDArray[np.bool_], samples: int, hop: int, rate: int
) -> Pcm:
    at = np.minimum(np.arange(samples) // hop, len(pitch) - 1)
    cycles = np.floor(np.cumsum(pitch[at]) / rate)
    buzz = np.diff(cycles, prepend=0.0) * np.sqrt(rate / pitch[at])
    hiss = rng.standard_normal(samples)
    mixed = buzz + hiss * rng.choice([0.0, 0.1, 0.3])
    return np.asarray(np.where(voiced[at], mixed, hiss))


def _all_pole(frame: Pcm, order: int) -> tuple[Pcm, float]:
    """Coefficients of the prediction error filter and the level of the error."""
    correlation = np.correlate(frame, frame, "full")[len(frame) - 1 :][: order + 1]
    correlation[0] = correlation[0] * 1.0001 + 1e-9
    predictor = solve_toeplitz(correlation[:-1], correlation[1:])
    error = max(correlation[0] - predictor @ correlation[1:], 1e-12)
    return np.concatenate([[1.0], -predictor]), float(np.sqrt(error / len(frame)))


def _envelope(pcm: Pcm, pitch: Pcm, hop: int, n_fft: int, rate: int) -> NDArray[np.float64]:
    """Magnitude [n_fft / 2 + 1, frames] with the harmonics smoothed away in the cepstrum."""
    magnitude = np.abs(librosa.stft(pcm, n_fft=n_fft, hop_length=hop, win_length=round(rate * 0.03)))
    cepstrum = np.fft.irfft(np.log(magnitude + 1e-5), axis=0)
    frames = cepstrum.shape[1]
    cut = 0.6 * rate / pitch[np.minimum(np.arange(frames), len(pitch) - 1)]
    quefrency = np.minimum(np.arange(n_fft), n_fft - np.arange(n_fft))[:, None]
    lifter = 1 / (1 + np.exp((quefrency - cut) / 6))
    smooth = np.exp(np.fft.rfft(cepstrum * lifter, axis=0).real + 0.25)
    return np.asarray(smooth / np.sqrt(rate * 0.03 * 0.375))


def _warped(envelope: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    bins = np.arange(len(envelope))
    source = np.clip((bins / factor).astype(int), 0, len(envelope) - 1)
    return np.asarray(envelope[source])


def _pulses(
    pitch: Pcm, voiced: NDArray[np.bool_], samples: int, hop: int, rate: int
) -> list[tuple[int, int, bool]]:
    """Sample, frame and voicing of each pulse; where there is no voice, one per hop."""
    pulses, now = [], 0.0
    while now < samples:
        frame = min(int(now / hop), len(pitch) - 1)
        pulses.append((int(now), frame, bool(voiced[frame])))
        now += rate / pitch[frame] if voiced[frame] else hop
    return pulses


def _marks(pcm: Pcm, pitch: Pcm, hop: int, rate: int) -> NDArray[np.int64]:
    """One sample per period, on the nearest peak."""
    smooth = gaussian_filter1d(pcm, rate / 4000)
    marks, now = [0], 0.0
    while now < len(pcm) - 1:
        period = rate / pitch[min(int(now / hop), len(pitch) - 1)]
        low, high = int(now + 0.75 * period), int(now + 1.25 * period)
        if high >= len(pcm):
            break
        now = float(low + np.argmax(smooth[low:high]))
        marks.append(int(now))
    return np.array(marks)
