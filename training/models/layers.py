"""Layers of the image and the video model."""

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="deepfake")
class DeviationFromMean(layers.Layer):  # type: ignore[misc]
    """[B, h, w, C] → |x - mean of x over the picture|, same shape: what is unlike the rest."""

    def call(self, features: Any) -> Any:
        return ops.abs(features - ops.mean(features, axis=(1, 2), keepdims=True))


@keras.saving.register_keras_serializable(package="deepfake")
class Standardised(layers.Layer):  # type: ignore[misc]
    """[B, h, w, C] → deviations from the picture's mean in units of its spread: what is unlike the rest."""

    def call(self, features: Any) -> Any:
        deviation = features - ops.mean(features, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(deviation), axis=(1, 2), keepdims=True)
        return deviation * ops.rsqrt(variance + 0.05)


@keras.saving.register_keras_serializable(package="deepfake")
class LogMeanExp(layers.Layer):  # type: ignore[misc]
    """[B, h, w] → [B], between the mean and the maximum: a few strong cells outweigh many weak ones."""

    def call(self, cells: Any) -> Any:
        highest = ops.max(cells, axis=(1, 2), keepdims=True)
        mean = ops.mean(ops.exp(cells - highest), axis=(1, 2))
        return ops.log(mean) + highest[:, 0, 0]


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


def conv_block(features: Any, filters: int, stride: int = 1, size: int = 3) -> Any:
    """Convolution, batch normalisation, ReLU."""
    features = layers.Conv2D(filters, size, stride, "same", use_bias=False)(features)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(features))


def relative_block(features: Any, filters: int) -> Any:
    """As `context_block`, in units of how much the picture varies."""
    return conv_block(layers.Concatenate()([features, Standardised()(features)]), filters, size=1)


def context_block(features: Any, filters: int) -> Any:
    """Every place beside how it differs from the rest of the picture, [B, h, w, filters]."""
    return conv_block(layers.Concatenate()([features, DeviationFromMean()(features)]), filters, size=1)
