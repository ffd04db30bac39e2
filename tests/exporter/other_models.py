"""Models as users write them: small ones with every layer that the project's own models do without."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

SIZE = (16, 20)
CLIP_LENGTH = 3
SAMPLES = 400

Layer = Callable[[Any], Any]


def photo_model(features: Layer) -> keras.Model:
    """Scaled pixels → features [batch, h, w, channels] → heatmap and logit."""
    rows = keras.Input((*SIZE, 3), dtype="uint8")
    heatmap = layers.Conv2D(1, 1)(features(layers.Rescaling(1 / 127.5, offset=-1.0)(rows)))
    logit = ops.squeeze(layers.GlobalAveragePooling2D()(heatmap), -1)
    return keras.Model(rows, {"logit": logit, "heatmap": ops.squeeze(heatmap, -1)})


def clip_model(over_time: Layer) -> keras.Model:
    """Frames → 8 numbers each → over_time → numbers of the clip → logit."""
    rows = keras.Input((CLIP_LENGTH, *SIZE, 3), dtype="uint8")
    frame = keras.Sequential(
        [
            keras.Input((*SIZE, 3)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    x = layers.TimeDistributed(frame)(layers.Rescaling(1 / 127.5, offset=-1.0)(rows))
    return _with_logit(rows, over_time(x))


def moving_pixels_model() -> keras.Model:
    """A recurrent layer that is a convolution too."""
    rows = keras.Input((CLIP_LENGTH, *SIZE, 3), dtype="uint8")
    x = layers.ConvLSTM2D(4, 3, padding="same")(layers.Rescaling(1 / 127.5, offset=-1.0)(rows))
    return _with_logit(rows, layers.GlobalAveragePooling2D()(x))


def sound_model(over_time: Layer) -> keras.Model:
    """Samples in steps of 40 → over_time → numbers of the window → logit."""
    rows = keras.Input((SAMPLES,), dtype="float32")
    return _with_logit(rows, over_time(layers.Reshape((SAMPLES // 40, 40))(rows)))


def attention(x: Any) -> Any:
    """Dense in TimeDistributed, then every step looks at all others."""
    x = layers.TimeDistributed(layers.Dense(8, activation="tanh"))(x)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    return layers.GlobalAveragePooling1D()(x)


def masked_attention(x: Any) -> Any:
    """Each step looks at those before it."""
    return layers.MultiHeadAttention(2, 8)(x, x, use_causal_mask=True)[:, -1]


def mel_spectrogram(x: Any) -> Any:
    """Keras' own, by a Fourier transform."""
    samples = layers.Reshape((SAMPLES,))(x)
    decibels = layers.MelSpectrogram(fft_length=64, sequence_stride=32, sampling_rate=8_000, num_mel_bins=8)(
        samples
    )
    return layers.GlobalMaxPooling1D()(layers.Conv1D(6, 1, activation="relu")(decibels / 400))


def fourier(x: Any) -> Any:
    """Of every step."""
    real, imaginary = ops.rfft(x)
    return layers.GlobalAveragePooling1D()(ops.concatenate([real, imaginary], -1))


def in_half(build: Callable[[], keras.Model], policy: str) -> keras.Model:
    """As built for training in mixed precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return build()
    finally:
        keras.config.set_dtype_policy(before)


def sequential(x: Any) -> Any:
    """Layers in a model of their own, which casts what it gets."""
    return keras.Sequential(
        [layers.Conv2D(8, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    )(x)


def transformer(x: Any) -> Any:
    """A small vision transformer (Dosovitskiy et al., 2021)."""
    x = layers.Conv2D(16, 4, strides=4)(x)
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height * width, channels))(x)
    for _ in range(2):
        normal = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, 8)(normal, normal)
        x = x + layers.Dense(channels)(layers.Dense(32, activation="gelu")(layers.LayerNormalization()(x)))
    return layers.Reshape((height, width, channels))(x)


def gelu(x: Any) -> Any:
    return layers.Conv2D(8, 3, activation="gelu")(x)


def grouped(x: Any) -> Any:
    """As in ConvNeXt and ResNeXt."""
    x = layers.Conv2D(8, 3, activation="relu")(x)
    return layers.Conv2D(8, 3, groups=8)(layers.Conv2D(8, 3, padding="same", groups=2)(x))


def resized(interpolation: str) -> Layer:
    """To a size that the factor in float32 misses: 20 · 0.95 is a little less than 19."""

    def features(x: Any) -> Any:
        return layers.Conv2D(8, 3, activation="relu")(layers.Resizing(11, 19, interpolation=interpolation)(x))

    return features


def _with_logit(rows: Any, x: Any) -> keras.Model:
    # Noise is much the same on average.
    return keras.Model(rows, {"logit": ops.squeeze(layers.Dense(1)(20 * x), -1)})
