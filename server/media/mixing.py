"""Channels to one, as listeners hear them."""

from collections.abc import Iterable
from typing import Any

import av
import numpy as np
from av.audio.plane import AudioPlane
from numpy.typing import NDArray

from server.media.voices import Voices
from server.media.windows import Sound

Channels = NDArray[np.float32]

_LOUDEST = 32768.0
# Energy of the sum of the channels, as a share of the sum of theirs: 1 for independent ones, and for speakers
# of whom each has a channel. Below, the mean would hide twice of what it lets pass.
_CANCELLED = 2 / 3
# What lies below or above nobody hears, and it must not decide what is heard: a constant, or the tone of a
# display.
_VOICES_HZ = 80, 8_000
# Long enough that voices which have nothing to do with each other do not cancel by chance.
_BLOCK_SECONDS = 0.5
# A channel takes this long to turn over, as a jump would be a click.
_TURN_SECONDS = 0.02
# Blocks that are mixed at once, so that many channels need little memory.
_BLOCKS = 16
_PLANAR = {"u8p": np.uint8, "s16p": np.int16, "s32p": np.int32, "fltp": np.float32, "dblp": np.float64}


class Downmix:
    """Mean of all channels but subwoofers; where they cancel each other, each in the phase of the loudest.

    Listeners hear a voice just as well if one ear gets it upside down, and mixed as it is it would be gone:
    all that is left would be what lies in the middle, under it.

    Args:
        voices: hears the channels before they are mixed.
        apart: channels to take unmixed, instead of the mean of all.
    """

    def __init__(
        self, rate: int, layout: av.AudioLayout, voices: Voices | None = None, apart: tuple[int, ...] = ()
    ) -> None:
        self.rate, self.layout = rate, layout.name
        self._subwoofers = _subwoofers(layout)
        self._played = max(1, layout.nb_channels - len(self._subwoofers))
        self._voices, self._apart = voices, apart
        self._block = round(rate * _BLOCK_SECONDS)
        self._waiting: list[Channels] = []
        self._length = 0
        self._signs: NDArray[np.int64] | None = None
        self._mixed: list[Channels] = []

    def add(self, frame: av.AudioFrame) -> None:
        """Takes the next frame, of this sample rate and layout."""
        channels = _samples(frame)
        if self._subwoofers:
            channels[self._subwoofers] = 0
        self._waiting.append(channels[list(self._apart)] if self._apart else channels)
        self._length += frame.samples
        if self._length > _BLOCKS * self._block:
            self._mix(self._block)

    def sounds(self) -> Channels:
        """All that was added: the mean, [1, samples], or the channels apart."""
        if self._length:
            self._mix(0)
        return np.concatenate([np.zeros((len(self._apart) or 1, 0), np.float32), *self._mixed], 1)

    def _mix(self, kept: int) -> None:
        channels = np.concatenate(self._waiting, 1)
        channels, rest = np.split(channels, [channels.shape[1] - kept], 1)
        self._waiting, self._length = [rest.copy()], kept
        if self._voices:
            self._voices.add(channels, self.rate)
        if self._apart or len(channels) == 1:
            self._mixed.append(channels)
            return
        # What is left over is part of the last block.
        starts = np.arange(0, max(channels.shape[1] - self._block, 0) + 1, self._block)
        signs = self._signs_of(channels, starts)
        total = self._turned(channels, starts, signs) if (signs < 0).any() else channels.sum(0)
        self._mixed.append(total[None] / np.float32(self._played))
        self._signs = signs[:, -1]

    def _signs_of(self, channels: Channels, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of each channel before the first block and in every block: [channels, 1 + blocks]."""
        signs = np.ones((len(channels), 1 + len(starts)), np.int64)
        if self._signs is not None:
            signs[:, 0] = self._signs
        for block, part in enumerate(np.split(channels, starts[1:], 1)):
            low, high = (round(limit * part.shape[1] / self.rate) for limit in _VOICES_HZ)
            voices = np.fft.rfft(part)[:, max(low, 1) : high]
            energies = np.linalg.norm(voices, axis=1) ** 2
            if np.linalg.norm(voices.sum(0)) ** 2 >= _CANCELLED * energies.sum():
                continue
            found = np.where((voices @ voices[energies.argmax()].conj()).real < 0, -1, 1)
            # Another channel may be the loudest now: as few as possible turn over.
            signs[:, block + 1] = found if found @ signs[:, block] >= 0 else -found
        if self._signs is None:
            signs[:, 0] = signs[:, 1]
        return signs

    def _turned(self, channels: Channels, starts: NDArray[np.int64], signs: NDArray[np.int64]) -> Sound:
        """The sum of the channels with the signs of `_signs_of`."""
        places = np.stack([starts, starts + self.rate * _TURN_SECONDS], 1).ravel()
        total = np.zeros(channels.shape[1], np.float32)
        for channel, sign in zip(channels, signs, strict=True):
            gains = np.interp(np.arange(len(total)), places, np.repeat(sign, 2)[1:-1])
            total += channel * gains.astype(np.float32)
        return total


def add_to(
    runs: list[Downmix], frame: av.AudioFrame, voices: Voices | None = None, apart: tuple[int, ...] = ()
) -> None:
    """Adds a frame to the last of the runs, or begins another: joined sounds may change on the way.

    Args:
        voices, apart: see `Downmix`.
    """
    rate, layout = frame.sample_rate, frame.layout
    if not runs or (runs[-1].rate, runs[-1].layout) != (rate, layout.name):
        runs.append(Downmix(rate, layout, voices, apart))
    runs[-1].add(frame)


def mono(frames: Iterable[av.AudioFrame]) -> Sound:
    """One sound of frames of one sample rate."""
    runs: list[Downmix] = []
    for frame in frames:
        add_to(runs, frame)
    return np.concatenate([run.sounds()[0] for run in runs])


def _samples(frame: av.AudioFrame) -> Channels:
    """float32 [channels, samples] in [-1, 1]."""
    samples = _raw(frame)
    channels = samples.astype(np.float32)
    if samples.dtype == np.uint8:
        channels -= 128
        channels /= 128
    elif samples.dtype.kind == "i":
        channels /= 2 ** (8 * samples.itemsize - 1)
    # What is absurdly loud would overflow in the resampler.
    return np.clip(np.nan_to_num(channels, copy=False), -_LOUDEST, _LOUDEST, out=channels)


def _subwoofers(layout: av.AudioLayout) -> list[int]:
    """The channels that play no voice, and are left out by players of what they mix down for two ears."""
    if layout.nb_channels <= 2:
        return []
    return [place for place, channel in enumerate(layout.channels) if channel.name.startswith("LFE")]


def _raw(frame: av.AudioFrame) -> NDArray[Any]:
    """[channels, samples], as decoded."""
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        return frame.to_ndarray().reshape(-1, channels).T
    # PyAV counts planes up to a null pointer, which none has behind eight or more: to_ndarray would crash.
    planes = [memoryview(AudioPlane(frame, channel)) for channel in range(channels)]
    return np.stack([np.frombuffer(plane, _PLANAR[frame.format.name], frame.samples) for plane in planes])
