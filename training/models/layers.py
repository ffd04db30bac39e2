"""Layers that the image and the video model share."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

_WINDOW = 5
_DETAIL_GAIN = 40.0


@keras.saving.register_keras_serializable(package="deepfake")
class ZeroSum(keras.constraints.Constraint):  # type: ignore[misc]
    """Filters that answer to detail only: each sums to zero over its window.

    The idea of constrained convolutions (Bayar and Stamm, 2018): what a picture shows is larger by
    far than the traces of how it was made, and smooth.
    """

    def __call__(self, kernel: Any) -> Any:
        return kernel - ops.mean(kernel, axis=(0, 1), keepdims=True)


@keras.saving.register_keras_serializable(package="deepfake")
class DeviationFromMean(layers.Layer):  # type: ignore[misc]
    """[B, h, w, C] → |x - mean of x over the picture|, same shape: what is unlike the rest."""

    def call(self, features: Any) -> Any:
        return ops.abs(features - ops.mean(features, axis=(1, 2), keepdims=True))


@keras.saving.register_keras_serializable(package="deepfake")
class FramesToBatch(layers.Layer):  # type: ignore[misc]
    """[B, T, ...] → [B * T, ...]; unlike TimeDistributed it costs nothing in the exported graph."""

    def call(self, clips: Any) -> Any:
        return ops.reshape(clips, (-1, *clips.shape[2:]))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (None, *shape[2:])


@keras.saving.register_keras_serializable(package="deepfake")
class BatchToFrames(layers.Layer):  # type: ignore[misc]
    """[B * T, ...] → [B, T, ...]."""

    def __init__(self, length: int, **options: Any) -> None:
        super().__init__(**options)
        self.length = length

    def call(self, frames: Any) -> Any:
        return ops.reshape(frames, (-1, self.length, *frames.shape[1:]))

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (None, self.length, *shape[1:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "length": self.length}


@keras.saving.register_keras_serializable(package="deepfake")
class Moments(layers.Layer):  # type: ignore[misc]
    """[B, T, h, w, C] → mean and maximum over time, [B, h, w, 2 C]."""

    def call(self, features: Any) -> Any:
        return ops.concatenate([ops.mean(features, axis=1), ops.max(features, axis=1)], axis=-1)


@keras.saving.register_keras_serializable(package="deepfake")
class Motion(layers.Layer):  # type: ignore[misc]
    """[B, T, h, w, C] → every inner frame beside its changes, [B, T - 2, h, w, 3 C].

    The changes to the frame before and to the frame after are scaled by `gain` and limited to
    (-1, 1), so that a flicker of one grey level is not lost beside moving edges.
    """

    def __init__(self, gain: float = 16.0, **options: Any) -> None:
        super().__init__(**options)
        self.gain = gain

    def call(self, frames: Any) -> Any:
        steps = ops.softsign((frames[:, 1:] - frames[:, :-1]) * self.gain)
        return ops.concatenate([frames[:, 1:-1], steps[:, :-1], steps[:, 1:]], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gain": self.gain}


@keras.saving.register_keras_serializable(package="deepfake")
class Magnitude(layers.Layer):  # type: ignore[misc]
    """x → |x|."""

    def call(self, values: Any) -> Any:
        return ops.abs(values)


@keras.saving.register_keras_serializable(package="deepfake")
class FineDetail(keras.initializers.Initializer):  # type: ignore[misc]
    """Filters that start as the finest cosines of a 5 × 5 window: two of three on grey, the rest on colours.

    Random filters would answer to edges, whose energy exceeds that of noise by orders of magnitude.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        height, width, bands, filters = shape
        cosines = _cosines(height)[:, None, :, None] * _cosines(width)[None, :, None, :]
        finest_first = np.argsort(-np.add.outer(np.arange(height), np.arange(width)).ravel(), kind="stable")
        basis = cosines.reshape(height, width, -1)[..., finest_first]
        mixes = np.array([[1, 1, 1], [1, 1, 1], [1, -1, 0], [1, 1, 1], [1, 1, 1], [0, -1, 1]]) / np.sqrt(3)
        kernel = np.zeros((height, width, bands, filters))
        for index in range(filters):
            kernel[..., index] = basis[..., index, None] * mixes[index % len(mixes)][:bands]
        # One grey level is 1/128 here: noise of a few levels then answers with about 1.
        return ops.convert_to_tensor(kernel * _DETAIL_GAIN, dtype)


def _cosines(length: int) -> Any:
    """Orthonormal DCT-II basis, [position, frequency]."""
    position, frequency = np.mgrid[0:length, 0:length]
    basis = np.cos(np.pi * (position + 0.5) * frequency / length) * np.sqrt(2 / length)
    basis[:, 0] /= np.sqrt(2)
    return basis


def conv_block(features: Any, filters: int, stride: int = 1, size: int = 3) -> Any:
    """Convolution, batch normalisation, ReLU."""
    features = layers.Conv2D(filters, size, stride, "same", use_bias=False)(features)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(features))


def context_block(features: Any, filters: int) -> Any:
    """Every place beside how it differs from the rest of the picture, [B, h, w, filters]."""
    return conv_block(layers.Concatenate()([features, DeviationFromMean()(features)]), filters, size=1)


def residual_filters(pixels: Any, filters: int) -> Any:
    """Noise residuals of pixels in [-1, 1], limited to (-1, 1): [B, H, W, filters].

    In float32 always: float16 has too few digits for the noise of bright pixels.
    """
    residuals = layers.Conv2D(
        filters,
        _WINDOW,
        padding="same",
        use_bias=False,
        kernel_initializer=FineDetail(),
        kernel_constraint=ZeroSum(),
        dtype="float32",
    )(pixels)
    return layers.Activation("softsign", dtype="float32")(residuals)
