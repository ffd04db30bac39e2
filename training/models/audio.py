"""The sound model: PCM → logit."""

from typing import Any

import keras
from keras import layers, ops

from training.models.coherence import BandCoherence
from training.models.frontend import LogMelSpectrogram

_JITTER = 1.0
_DROPOUT = 0.3


@keras.saving.register_keras_serializable(package="deepfake")
class NormalisedLevel(layers.Layer):  # type: ignore[misc]
    """PCM [B, S] → the same around 0 at -20 dB (root mean square 0.1); silence stays silent."""

    def call(self, pcm: Any) -> Any:
        centred = pcm - ops.mean(pcm, axis=1, keepdims=True)
        power = ops.mean(ops.square(centred), axis=1, keepdims=True)
        return centred * (0.1 / ops.sqrt(power + 1e-10))


@keras.saving.register_keras_serializable(package="deepfake")
class MeanAndDeviation(layers.Layer):  # type: ignore[misc]
    """[B, T, C] → mean and standard deviation over time, [B, 2 C]."""

    def call(self, features: Any) -> Any:
        mean = ops.mean(features, axis=1, keepdims=True)
        variance = ops.mean(ops.square(features - mean), axis=1)
        return ops.concatenate([mean[:, 0], ops.sqrt(variance + 1e-4)], axis=-1)


@keras.saving.register_keras_serializable(package="deepfake")
class RowJitter(layers.Layer):  # type: ignore[misc]
    """In training, gives every feature [B, T, C] of a row a gain and an offset of its own.

    Rooms, microphones and voices do that too, in more ways than a training corpus has: without it
    the model learns the corpus's own levels, and takes real voices for forged ones.
    """

    def __init__(self, strength: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strength = strength

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self._seeds = keras.random.SeedGenerator()
        super().build(input_shape)

    def call(self, features: Any, training: bool = False) -> Any:
        if not training:
            return features
        shape = (ops.shape(features)[0], 1, features.shape[2])
        gain = 1 + self.strength * keras.random.normal(shape, seed=self._seeds)
        return features * gain + self.strength * keras.random.normal(shape, seed=self._seeds)

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"strength": self.strength}


def build_audio_model(sample_rate: int = 16_000, window_samples: int = 64_000) -> keras.Model:
    """A model float32 [B, window_samples] → {"logit": [B]}; positive is fake. Loudness does not matter.

    It looks at how the bands of a log-mel spectrogram with 1 ms steps pulse together, segment by segment.

    Args:
        sample_rate: of the PCM in Hz.
        window_samples: PCM samples per row; `training.settings.LEAST_WINDOW_SAMPLES` or more.
    """
    pcm = keras.Input((window_samples,), dtype="float32", name="audio")
    level = NormalisedLevel(dtype="float32")(pcm)
    decibels = LogMelSpectrogram(
        sample_rate,
        n_fft=128,
        hop_length=16,
        win_lengths=(48,),
        n_mels=16,
        fmin=200.0,
        center=False,
        dtype="float32",
    )(level)
    features = layers.BatchNormalization()(BandCoherence(dtype="float32")(decibels))
    features = layers.SpatialDropout1D(0.1)(RowJitter(_JITTER)(features))
    features = layers.Dropout(_DROPOUT)(_conv(features, 48, size=1))
    features = MeanAndDeviation(dtype="float32")(_conv(_conv(features, 48), 48))
    features = layers.Dropout(_DROPOUT)(features)
    logit = layers.Reshape((), name="logit", dtype="float32")(layers.Dense(1, dtype="float32")(features))
    return keras.Model(pcm, {"logit": logit}, name="audio")


def _conv(features: Any, filters: int, size: int = 3) -> Any:
    features = layers.Conv1D(filters, size, padding="same", use_bias=False)(features)
    return layers.ReLU()(layers.BatchNormalization()(features))
