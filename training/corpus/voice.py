"""Speech-like sound from a source and a filter: glottal pulses and noise through a moving vocal tract.

The glottal pulse follows Fant, Liljencrants and Lin (1985), the filter Klatt (1980).
"""

from dataclasses import dataclass
from itertools import pairwise

import librosa
import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import sosfilt

from training.arrays import Pcm
from training.corpus.phonemes import STEP_SECONDS, Track, Tracks, utter
from training.draw import log_uniform

Sections = NDArray[np.float64]

GLOTTAL_RATE = 96_000
"""Pulses are drawn at this rate, so that their sharp closing edge does not alias."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """What stays the same while one person speaks.

    Attributes:
        pitch: mean fundamental frequency in Hz.
        liveliness: relative range of the pitch.
        tract: factor on the resonances.
        pace: factor on durations.
        open_quotient: share of a cycle in which the glottis is open.
        closing: when the flow is at its maximum, as a share of the open phase.
        growth: of the flow derivative before it closes, in nepers per open phase.
        return_share: time constant of the closing edge as a share of a cycle; large is dull.
        breath: gain of the noise in the glottis, relative to its pulses.
        gust: how long that noise lasts around the closing of the glottis, as a share of a cycle.
        leak: its gain during the rest of the cycle, relative to the gust.
        jitter, shimmer: relative scatter of the length and strength of cycles.
        bandwidths: factor on the bandwidths of the formants.
    """

    pitch: float
    liveliness: float
    tract: float
    pace: float
    open_quotient: float
    closing: float
    growth: float
    return_share: float
    breath: float
    gust: float
    leak: float
    jitter: float
    shimmer: float
    bandwidths: float


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """Anybody from a bass to a child, breathy, pressed or hoarse."""
    pitch = log_uniform(rng, 75, 330)
    tract = 1.0 + 0.22 * np.log2(pitch / 120) + rng.normal(0, 0.06)
    return Speaker(
        pitch=pitch,
        liveliness=rng.uniform(0.08, 0.5),
        tract=float(np.clip(tract, 0.78, 1.45)),
        pace=rng.uniform(0.65, 1.35),
        open_quotient=rng.uniform(0.4, 0.8),
        closing=rng.uniform(0.62, 0.85),
        growth=rng.uniform(0.5, 4.0),
        return_share=log_uniform(rng, 0.004, 0.06),
        breath=log_uniform(rng, 0.02, 0.4),
        gust=rng.uniform(0.06, 0.3),
        leak=rng.uniform(0.0, 0.3),
        jitter=log_uniform(rng, 0.002, 0.02),
        shimmer=rng.uniform(0.01, 0.12),
        bandwidths=rng.uniform(0.7, 1.5),
    )


def speak(rng: np.random.Generator, speaker: Speaker, seconds: float, rate: int) -> Pcm:
    """Float64 [seconds * rate], peak 1."""
    tracks = utter(rng, seconds, speaker.tract, speaker.pace)
    samples = round(seconds * rate)
    pulses, gusts = _glottis(rng, speaker, tracks, samples, rate)
    noise = rng.standard_normal(samples)
    aspiration = _per_sample(tracks.aspiration, samples)
    breath = speaker.breath * gusts * _per_sample(tracks.voicing, samples)
    source = pulses + 0.3 * noise * (breath + 0.3 * aspiration)
    voiced = _filter(source, _vocal_tract(rng, speaker, tracks, rate))
    hiss = noise * _per_sample(tracks.frication, samples)
    fricative = _filter(hiss, _constriction(tracks, speaker.tract, rate))
    voiced /= np.abs(voiced).max() + 1e-9
    fricative /= np.abs(fricative).max() + 1e-9
    mixed = voiced + fricative * log_uniform(rng, 0.08, 0.6)
    return np.asarray(mixed / (np.abs(mixed).max() + 1e-9))


def _glottis(
    rng: np.random.Generator, speaker: Speaker, tracks: Tracks, samples: int, rate: int
) -> tuple[Pcm, Pcm]:
    """Derivative of the glottal flow, and gain of the noise that it carries, at `rate`."""
    seconds = samples / rate
    starts, lengths, strengths = _cycles(rng, speaker, tracks, seconds)
    time = np.arange(round(seconds * GLOTTAL_RATE)) / GLOTTAL_RATE
    cycle = np.clip(np.searchsorted(starts, time, side="right") - 1, 0, None)
    phase = np.clip((time - starts[cycle]) / lengths[cycle], 0, 1)
    flow = _flow_derivative(speaker, phase) * strengths[cycle]
    flow *= np.interp(time, _times(tracks.voicing), tracks.voicing)
    gusts = np.exp(-(((phase - speaker.open_quotient) / speaker.gust) ** 2)) + speaker.leak
    pulses = soxr.resample(flow, GLOTTAL_RATE, rate)
    return librosa.util.fix_length(pulses, size=samples), np.interp(np.arange(samples) / rate, time, gusts)


def _cycles(
    rng: np.random.Generator, speaker: Speaker, tracks: Tracks, seconds: float
) -> tuple[Pcm, Pcm, Pcm]:
    """Start and length in seconds, and strength, of each glottal cycle."""
    pitch = _pitch(rng, speaker, tracks)
    starts, now = [], 0.0
    while now < seconds:
        starts.append(now)
        hertz = pitch[min(int(now / STEP_SECONDS), len(pitch) - 1)]
        now += (1 + speaker.jitter * rng.standard_normal()) / hertz
    edges = np.array([*starts, now])
    strengths = 1 + speaker.shimmer * rng.standard_normal(len(starts))
    if rng.random() < 0.15:
        strengths[::2] *= rng.uniform(0.5, 0.9)  # a creaky voice alternates
    return edges[:-1], np.diff(edges), strengths


def _pitch(rng: np.random.Generator, speaker: Speaker, tracks: Tracks) -> Track:
    """Hz per step: declination, accents on stressed syllables, slow wandering, tremor."""
    steps = len(tracks.stress)
    time = np.arange(steps) * STEP_SECONDS
    phrase = np.interp(time % rng.uniform(1.5, 4.0), [0, 4.0], [0.5, -0.7])
    wander = gaussian_filter1d(rng.standard_normal(steps), 40) * 6
    micro = gaussian_filter1d(rng.standard_normal(steps), 4)
    tremor = np.sin(2 * np.pi * rng.uniform(4, 7) * time) * rng.uniform(0, 0.015)
    contour = speaker.liveliness * (phrase + 1.2 * tracks.stress + wander) + 0.02 * micro + tremor
    return np.asarray(speaker.pitch * np.exp(np.clip(contour, -0.7, 0.8)))


def _flow_derivative(speaker: Speaker, phase: Pcm) -> Pcm:
    """Liljencrants–Fant shape over phase in [0, 1], -1 where the glottis closes."""
    closes = speaker.open_quotient
    peak = closes * speaker.closing
    opening = np.exp(speaker.growth * (phase - closes) / closes) * np.sin(np.pi * phase / peak)
    at_closing = np.sin(np.pi * closes / peak)
    returning = np.exp((closes - phase) / speaker.return_share)
    return np.where(phase < closes, opening / -at_closing, -returning)


def _vocal_tract(rng: np.random.Generator, speaker: Speaker, tracks: Tracks, rate: int) -> Sections:
    """Second-order sections [steps, formants + 1, 6]: a cascade of formants, then the nose."""
    steps = len(tracks.voicing)
    upper = speaker.tract * (np.arange(3500, rate, 1000) + rng.normal(0, 120, len(range(3500, rate, 1000))))
    upper = upper[upper < min(0.46 * rate, rng.uniform(5000, 12_000))]  # losses flatten the highest formants
    centres = np.concatenate([tracks.formants, np.tile(upper, (steps, 1))], axis=1)
    centres = np.clip(centres, 150, 0.47 * rate)
    widths = speaker.bandwidths * (45 + 0.035 * centres + (centres / 1000) ** 3)
    formants = _resonators(centres, np.minimum(widths, 2000), rate)
    nose = _resonators(np.full((steps, 1), 280.0), np.full((steps, 1), 90.0), rate)
    hole = 280 + 420 * tracks.nasal[:, None]
    nose[..., :3] = _resonators(hole, np.full((steps, 1), 100.0), rate)[..., 3:] * nose[..., :1]
    return np.concatenate([formants, nose], axis=1)


def _constriction(tracks: Tracks, tract: float, rate: int) -> Sections:
    """Sections [steps, 2, 6] that colour the noise of fricatives and bursts."""
    centre = np.clip(tracks.noise_centre * tract**0.5, 200, 0.45 * rate)[:, None]
    width = np.clip(tracks.noise_width, 200, 0.45 * rate)[:, None]
    sections = _resonators(np.concatenate([centre, centre * 0.85], axis=1), np.repeat(width, 2, axis=1), rate)
    gain = sections[..., 3:].sum(axis=-1) / np.maximum(width / rate, 1e-3)
    sections[..., :3] = np.array([1.0, 0.0, -1.0]) / np.maximum(gain, 1.0)[..., None]
    return sections


def _resonators(centres: Track, widths: Track, rate: int) -> Sections:
    """All-pole sections with gain 1 at 0 Hz: [..., 6] as b0 b1 b2 a0 a1 a2."""
    radius = np.exp(-np.pi * widths / rate)
    a1 = -2 * radius * np.cos(2 * np.pi * centres / rate)
    a2 = radius**2
    zero = np.zeros_like(a1)
    return np.stack([1 + a1 + a2, zero, zero, zero + 1, a1, a2], axis=-1)


def _filter(pcm: Pcm, sections: Sections) -> Pcm:
    """Filters with sections that change every step, keeping the state."""
    edges = np.linspace(0, len(pcm), len(sections) + 1).round().astype(int)
    state = np.zeros((sections.shape[1], 2))
    filtered = np.empty_like(pcm)
    for step, (start, stop) in enumerate(pairwise(edges)):
        filtered[start:stop], state = sosfilt(sections[step], pcm[start:stop], zi=state)
    return filtered


def _times(track: Track) -> Track:
    return np.arange(len(track), dtype=np.float64) * STEP_SECONDS


def _per_sample(track: Track, samples: int) -> Pcm:
    return np.asarray(np.interp(np.linspace(0, len(track), samples), np.arange(len(track)) + 0.5, track))
