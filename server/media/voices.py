"""Whether channels hold voices of their own, or one picture of the same sounds."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from server.media.windows import AUDIBLE, MIN_SECONDS, Sound

# Telephones carry this much, and most of a voice lies in it.
_EDGES_HZ = (100, 200, 400, 800, 1_600, 3_200)
_COARSE_RATE = 8_000
_FRAME_SECONDS = 0.025
# What is so much softer than a channel's mean is a pause in it, though it may be what its microphone
# hears of the others.
_PAUSE_DB = 25.0
# Nobody follows a voice that is so much softer than the loudest.
_FAINT_DB = 30.0
# The bands of noise stray from one another by 2.6 dB at most, however it comes and goes, those of a tone by
# less; those of voices by 5 and more, and under noise that is 5 dB softer still by 3.3.
_COLOURFUL_DB = 3.0
# A channel may come so much later than another, and still be the same sound.
_LAG_FRAMES = 20
# Correlation. The levels of ordinary stereo have 0.4 and more, whatever its delay, phase or echo, or its
# channels themselves do; voices that have nothing to do with each other have less than 0.3 in a few seconds.
_ALIKE = 0.3
# Films have more channels, and each costs rows.
_MOST = 4


class Voices:
    """Hears the channels of a sound, and tells which are to be judged each by itself.

    A voice that both of two channels have makes the levels of their bands rise and fall together, and
    neither delay nor phase changes that, nor does an echo. If it is in the middle under something
    louder on both sides, the channels themselves correlate.
    """

    def __init__(self) -> None:
        self._counts: set[int] = set()
        self._powers: list[NDArray[np.float32]] = []
        self._products: NDArray[np.float64] = np.zeros(())

    def add(self, channels: NDArray[np.float32], rate: int) -> None:
        """Takes the next part of the sound: [channels, samples] at `rate` Hz."""
        self._counts.add(len(channels))
        if len(channels) == 1:
            return
        # Coarse sampling costs a fraction of a filter, and what it folds down moves like what it came from.
        step = max(1, rate // _COARSE_RATE)
        frame = round(rate / step * _FRAME_SECONDS)
        # As it will be judged: a click beyond full scale, which no player plays, must not drown a voice.
        coarse = np.clip(channels[:, ::step], -1, 1)
        count = coarse.shape[1] // frame
        frames = coarse[:, : count * frame].reshape(len(channels), count, frame)
        spectra = np.fft.rfft(frames * np.hanning(frame) / frame)
        edges = np.minimum(np.rint(np.multiply(_EDGES_HZ, _FRAME_SECONDS)).astype(int), frame // 2)
        spectra = spectra[:, :, edges[0] : edges[-1]]
        powers = np.add.reduceat(np.abs(spectra) ** 2, edges[:-1] - edges[0], axis=2)
        self._powers.append(powers.astype(np.float32))
        if len(self._counts) == 1:
            flat = spectra.reshape(len(channels), -1)
            self._products = self._products + (flat @ flat.conj().T).real

    def apart(self) -> tuple[int, ...]:
        """Channels that hold voices of their own; none if the mean of all stands for them."""
        if len(self._counts) != 1 or not self._powers:
            return ()
        powers = np.concatenate(self._powers, 1)
        loudness = np.diagonal(self._products)
        faintest = max(loudness.max() * 10 ** (-_FAINT_DB / 10), powers.shape[1] * AUDIBLE**2)
        heard = np.flatnonzero(loudness > faintest)
        if not 2 <= len(heard) <= _MOST:
            return ()
        if any(_colour(powers[channel]) < _COLOURFUL_DB for channel in heard):
            return ()
        levels = _levels(powers[heard])
        for (one, its_levels), (other, other_levels) in combinations(zip(heard, levels, strict=True), 2):
            in_step = abs(self._products[one, other]) / np.sqrt(loudness[one] * loudness[other])
            if max(in_step, _likeness(its_levels, other_levels)) > _ALIKE:
                return ()
        return tuple(heard.tolist())


def spoken(
    pieces: list[Sound], spans: NDArray[np.float64], rate: int
) -> tuple[list[Sound], NDArray[np.float64]]:
    """What a voice says in the pieces of its channel, and from when to when.

    While it listens to the others there is nothing to judge, and models take what a room or a line adds to
    silence for all sorts of things. Pauses within what it says stay, up to twice `MIN_SECONDS`.

    Args:
        spans: [N, 2] seconds.
        rate: of the pieces, in Hz.
    """
    frame = round(_FRAME_SECONDS * rate)
    # A constant is no sound; cheap microphones have one that is louder than pauses are.
    sound = np.concatenate(pieces)
    constant = sound.mean(dtype=np.float64)
    floor = np.mean((sound - constant) ** 2) * 10 ** (-_PAUSE_DB / 10)
    said, said_when = [], spans.copy()
    for number, piece in enumerate(pieces):
        energies = np.add.reduceat((piece - constant) ** 2, np.arange(0, len(piece), frame))
        kept = np.flatnonzero(np.repeat(_near(energies > floor * frame), frame)[: len(piece)])
        said.append(piece[kept])
        if len(kept):
            said_when[number] = spans[number, 0] + np.array([kept[0], kept[-1] + 1]) / rate
    return said, said_when


def _near(loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which frames lie within `MIN_SECONDS` of a loud one."""
    around = round(MIN_SECONDS / _FRAME_SECONDS)
    near = np.zeros_like(loud)
    near[np.clip(np.flatnonzero(loud)[:, None] + np.arange(-around, around + 1), 0, len(loud) - 1)] = True
    return near


def _colour(powers: NDArray[np.float32]) -> float:
    """How far, in dB, a channel's bands [frames, bands] rise and fall otherwise than all of it does.

    What is much softer than the channel does not count: codecs fill the bands around a tone.
    """
    loudness = powers.sum(1, dtype=np.float64)
    sounding = loudness > loudness.mean() * 10 ** (-_PAUSE_DB / 10)
    levels = 10 * np.log10(np.maximum(powers[sounding], loudness.mean() * 10 ** (-_FAINT_DB / 10)))
    levels -= levels.mean(0)
    return float((levels - levels.mean(1, keepdims=True)).std())


def _levels(powers: NDArray[np.float32]) -> NDArray[np.float64]:
    """dB about each band's mean, without the frames in which all channels pause."""
    floors = powers.mean(1, keepdims=True, dtype=np.float64) * 10 ** (-_PAUSE_DB / 10)
    busy = (powers > floors).any((0, 2))
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(powers[:, busy], np.maximum(floors, 1e-30)))
    levels -= levels.mean(1, keepdims=True)
    return levels


def _likeness(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The highest correlation of two channels' levels [frames, bands], whichever of them comes later."""
    length = 2 * len(one)
    spectra = np.fft.rfft(one, length, 0) * np.fft.rfft(other, length, 0).conj()
    products = np.fft.irfft(spectra.sum(1), length)
    nearest = products[np.arange(-_LAG_FRAMES, _LAG_FRAMES + 1) % length].max()
    return float(nearest / np.sqrt((one**2).sum() * (other**2).sum()))
