"""Sound rebuilt from a spectrogram whose phases were lost: the last step of many speech synthesisers."""

from dataclasses import dataclass

import librosa
import numpy as np
from numpy.typing import NDArray

from training.arrays import Pcm
from training.draw import log_uniform

Spectrum = NDArray[np.complex128]
Magnitude = NDArray[np.float64]


def from_magnitude(rng: np.random.Generator, pcm: Pcm, _rate: int) -> Pcm:
    """Griffin and Lim (1984), mostly with momentum (Perraudin et al., 2013)."""
    frame = _Frame.draw(rng)
    return _griffin_lim(rng, np.abs(frame.stft(pcm)), frame, len(pcm))


def from_mel(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """Griffin–Lim from a mel spectrogram, inverted by least squares clipped at zero."""
    frame = _Frame.draw(rng)
    # More would leave bands without a bin of the Fourier transform.
    mels = min(int(rng.choice([40, 64, 80, 80, 100, 128])), frame.n_fft // 12)
    top = rate / 2 if rng.random() < 0.6 else min(rate / 2, rng.uniform(7000, 8000))
    bands = librosa.filters.mel(sr=rate, n_fft=frame.n_fft, n_mels=mels, fmax=top, htk=rng.random() < 0.3)
    power = 1 if rng.random() < 0.5 else 2
    mel = bands @ np.abs(frame.stft(pcm)) ** power
    if rng.random() < 0.5:
        mel = _predicted(rng, mel)
    magnitude = _nonnegative_inverse(bands, mel) ** (1 / power)
    return _griffin_lim(rng, magnitude, frame, len(pcm))


def with_wrong_phase(rng: np.random.Generator, pcm: Pcm, _rate: int) -> Pcm:
    """Magnitudes kept, phases random, zero, or running on at the centre of each bin."""
    frame = _Frame.draw(rng)
    spectrum = frame.stft(pcm)
    bins, frames = spectrum.shape
    phase: NDArray[np.float64]
    match rng.integers(4):
        case 0:
            phase = rng.uniform(-np.pi, np.pi, spectrum.shape)
        case 1:
            phase = np.zeros(spectrum.shape)
        case 2:
            turn = 2 * np.pi * frame.hop / frame.n_fft * np.arange(bins)[:, None]
            phase = turn * np.arange(frames) + rng.uniform(-np.pi, np.pi, (bins, 1))
        case _:
            phase = np.angle(spectrum) + rng.normal(0, rng.uniform(0.7, 2.0), spectrum.shape)
    return frame.istft(np.abs(spectrum) * np.exp(1j * phase), len(pcm))


def with_coarse_features(rng: np.random.Generator, pcm: Pcm, _rate: int) -> Pcm:
    """A spectrogram quantised in level and time, with phases partly guessed, as neural codecs leave it."""
    frame = _Frame.draw(rng)
    spectrum = frame.stft(pcm)
    step = rng.uniform(1.5, 5.0)
    decibels = 20 * np.log10(np.abs(spectrum) + 1e-6)
    decibels = np.round(decibels / step + rng.uniform(-0.3, 0.3, decibels.shape)) * step
    held = int(rng.integers(1, 4))
    decibels = np.repeat(decibels[:, ::held], held, axis=1)[:, : spectrum.shape[1]]
    phase = np.angle(spectrum)
    certain = np.arange(len(phase)) < rng.uniform(0.02, 0.25) * len(phase)
    guessed = np.where(certain[:, None], phase, rng.uniform(-np.pi, np.pi, phase.shape))
    return _griffin_lim(rng, 10 ** (decibels / 20), frame, len(pcm), start=guessed, most=8)


def stretched(rng: np.random.Generator, pcm: Pcm, rate: int) -> Pcm:
    """Pitch shifted by a phase vocoder and resampling (Flanagan and Golden, 1966); same length."""
    frame = _Frame.draw(rng)
    ratio = 2 ** (rng.choice([-1, 1]) * rng.uniform(1, 6) / 12)
    slower = librosa.phase_vocoder(frame.stft(pcm), rate=1 / ratio, hop_length=frame.hop)
    long = frame.istft(slower, round(len(pcm) * ratio))
    shifted = librosa.resample(long, orig_sr=rate * ratio, target_sr=rate, res_type="soxr_hq")
    return np.asarray(librosa.util.fix_length(shifted, size=len(pcm)), np.float64)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Settings of one short-time Fourier transform."""

    n_fft: int
    win_length: int
    hop: int
    window: str

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "_Frame":
        n_fft = int(rng.choice([400, 512, 800, 1024, 1024, 1024, 2048, 2048, 2048]))
        hop = n_fft // int(rng.choice([3, 4, 4, 4, 5, 8]))
        win_length = n_fft if rng.random() < 0.75 else max(2 * hop, int(n_fft * rng.uniform(0.6, 1)))
        return cls(n_fft, win_length, hop, str(rng.choice(["hann", "hann", "hamming"])))

    def stft(self, pcm: Pcm) -> Spectrum:
        spectrum = librosa.stft(
            pcm, n_fft=self.n_fft, hop_length=self.hop, win_length=self.win_length, window=self.window
        )
        return np.asarray(spectrum, np.complex128)

    def istft(self, spectrum: Spectrum, samples: int) -> Pcm:
        pcm = librosa.istft(
            spectrum,
            n_fft=self.n_fft,
            hop_length=self.hop,
            win_length=self.win_length,
            window=self.window,
            length=samples,
        )
        return np.asarray(pcm, np.float64)


def _griffin_lim(
    rng: np.random.Generator,
    magnitude: Magnitude,
    frame: _Frame,
    samples: int,
    start: NDArray[np.float64] | None = None,
    most: int = 60,
) -> Pcm:
    """Alternates between the wanted magnitudes and the phases of a signal that exists."""
    iterations = int(log_uniform(rng, 2, most))
    momentum = float(rng.choice([0.0, 0.99, 0.99]))
    phase = rng.uniform(-np.pi, np.pi, magnitude.shape) if start is None else start
    angles = np.exp(1j * phase)
    before = np.zeros_like(angles)
    for _ in range(iterations):
        rebuilt = frame.stft(frame.istft(magnitude * angles, samples))
        towards = rebuilt - momentum / (1 + momentum) * before
        before = rebuilt
        angles = towards / (np.abs(towards) + 1e-12)
    return frame.istft(magnitude * angles, samples)


def _predicted(rng: np.random.Generator, mel: Magnitude) -> Magnitude:
    """Errors of an acoustic model: smooth over time and bands, and a little off everywhere."""
    log = np.log(mel + 1e-6 * mel.max() + 1e-12)
    kernel = np.array([1.0, rng.uniform(1, 6), 1.0])
    for axis in (0, 1):
        log = np.apply_along_axis(np.convolve, axis, log, kernel / kernel.sum(), "same")
    return np.asarray(np.exp(log + rng.normal(0, rng.uniform(0, 0.15), log.shape)))


def _nonnegative_inverse(bands: Magnitude, mel: Magnitude, rounds: int = 12) -> Magnitude:
    """x >= 0 with bands @ x = mel nearly, by multiplicative updates (Lee and Seung, 1999)."""
    wanted = bands.T @ mel
    x = np.maximum(np.linalg.pinv(bands) @ mel, wanted * 1e-3)
    gram = bands.T @ bands
    for _ in range(rounds):
        x *= wanted / (gram @ x + 1e-12)
    return x
