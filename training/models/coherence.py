"""How well the bands of a sound pulse together."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from scipy.fft import idct

FLOOR = -70.0
"""Decibels below which there is only silence, for sound at -20 dB."""

_TREMBLE = 0.3
"""Variance in dB² that a band needs before its shape counts."""


@keras.saving.register_keras_serializable(package="deepfake")
class BandCoherence(keras.layers.Layer):  # type: ignore[misc]
    """Decibels [B, frames, bands, 1] of short windows → [B, segments, pairs + 2 · bands].

    A closing glottis excites all resonances at once, so the envelopes of the bands of a real voice
    rise together, within a millisecond. Whatever rebuilds sound from a spectrogram has to guess
    phases and loses that; whatever builds it from ideal pulses has too much of it.

    Per segment: the correlation of every pair of bands, each without its changes slower than
    `slowest` half-waves per segment; how strongly each band changes, and its level.
    """

    def __init__(self, segment: int = 64, slowest: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.segment = segment
        self.slowest = slowest

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        bands = int(input_shape[2] or 0)
        first, second = np.triu_indices(bands, 1)
        self._pairs = (first * bands + second).astype(np.int32)
        self._fast = _without_slow(self.segment, self.slowest)
        super().build(input_shape)

    def call(self, decibels: Any) -> Any:
        _, frames, bands, _ = decibels.shape
        segments = frames // self.segment
        whole = ops.maximum(decibels[:, : segments * self.segment], FLOOR)
        slices = ops.reshape(whole, (-1, self.segment, bands))
        level = ops.mean(slices, axis=1)
        fast = ops.matmul(self._fast, slices)
        strength = ops.sqrt(ops.mean(ops.square(fast), axis=1) + _TREMBLE)
        shape = fast / ops.expand_dims(strength, 1)
        correlation = ops.matmul(ops.transpose(shape, (0, 2, 1)), shape) / self.segment
        pairs = ops.take(ops.reshape(correlation, (-1, bands * bands)), self._pairs, axis=1)
        features = ops.concatenate([pairs, strength / 3, level / 20 + 2], axis=1)
        return ops.reshape(features, (-1, segments, len(self._pairs) + 2 * bands))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        frames, bands = int(input_shape[1] or 0), int(input_shape[2] or 0)
        return input_shape[0], frames // self.segment, bands * (bands - 1) // 2 + 2 * bands

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"segment": self.segment, "slowest": self.slowest}


def _without_slow(length: int, slowest: int) -> NDArray[np.float32]:
    """The projection [length, length] that takes away the first cosines of a DCT-II."""
    cosines = idct(np.eye(length), norm="ortho", axis=0)[:, :slowest]
    return np.asarray(np.eye(length) - cosines @ cosines.T, np.float32)
