"""Keras models that keep the trainer's contract, small enough for tests, and hard to convert.

Together they hold every construct that a conversion is known to get wrong: padding by zeros before a
maximum, squeeze-and-excite, batch normalisation with and without a convolution before it,
frames folded into the batch, a spectrogram.
"""

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from training.models.frontend import LogMelSpectrogram

SIZE = 32
CLIP_LENGTH = 4
SAMPLE_RATE = 8_000
WINDOW_SAMPLES = 4_000


def image_model() -> keras.Model:
    rows = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(rows)
    x = _convolution(x)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.MaxPooling2D(3, strides=2)(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.Activation("swish")(layers.BatchNormalization()(x))
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
    excited = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="swish")(squeezed))
    return _with_heatmap(rows, layers.Multiply()([x, excited]))


def application_model(application: str, size: int) -> keras.Model:
    """EfficientNetB0 or ResNet50V2 without weights, with ImageNet's preprocessing as layers."""
    rows = keras.Input((size, size, 3), dtype="uint8")
    if application == "ResNet50V2":
        x = layers.Rescaling(1 / 127.5, offset=-1.0)(rows)
    else:
        x = layers.Rescaling(1 / 255)(rows)
        x = layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.0524, 0.0502, 0.0506])(x)
    backbone = getattr(keras.applications, application)(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    return _with_heatmap(rows, backbone(x))


def video_model(size: int = SIZE) -> keras.Model:
    """Changes between frames, and moments over time."""
    rows = keras.Input((CLIP_LENGTH, size, size, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(rows)
    steps = keras.ops.softsign(8 * (x[:, 1:] - x[:, :-1]))
    x = keras.ops.concatenate([x[:, 1:-1], steps[:, :-1], steps[:, 1:]], axis=-1)
    x = keras.ops.reshape(x, (-1, size, size, 9))
    x = layers.Activation("relu")(_convolution(x))
    x = keras.ops.reshape(x, (-1, CLIP_LENGTH - 2, *x.shape[1:]))
    x = keras.ops.concatenate([keras.ops.mean(x, axis=1), keras.ops.max(x, axis=1)], axis=-1)
    x = layers.Activation("relu")(_convolution(x))
    x = layers.Dense(1)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(rows, {"logit": keras.ops.squeeze(x, -1)})


def audio_model() -> keras.Model:
    rows = keras.Input((WINDOW_SAMPLES,), dtype="float32")
    x = LogMelSpectrogram(
        sample_rate=SAMPLE_RATE, n_fft=256, hop_length=128, win_lengths=(64, 256), n_mels=16
    )(rows)
    x = layers.Activation("relu")(_convolution(layers.Rescaling(1 / 40, offset=1.0)(x)))
    x = layers.Dense(1)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(rows, {"logit": keras.ops.squeeze(x, -1)})


def varied_rows(model: keras.Model, count: int, seed: int) -> NDArray[np.generic]:
    """Noise at different levels: rows of one kind would all get nearly the same logit."""
    shape = (count, *model.inputs[0].shape[1:])
    levels = 0.05 ** np.linspace(0, 1, count).reshape(-1, *[1] * (len(shape) - 1))
    noise = np.random.default_rng(seed).normal(0, 1, shape) * levels
    if model.inputs[0].dtype == "uint8":
        return np.clip(128 + 60 * noise, 0, 255).astype(np.uint8)
    return (0.3 * noise).astype(np.float32)


def seeded() -> None:
    """The same fresh weights every time: with unlucky ones a model amplifies rounding too much."""
    keras.utils.set_random_seed(0)


def randomise(model: keras.Model) -> keras.Model:
    """Makes mistakes show: fresh batch normalisations are near the identity, fresh logits near 0.

    Their statistics are set to those of some rows, as training would have done, so that signals neither
    vanish nor saturate on the way through a deep model.
    """
    random = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.gamma.assign(random.uniform(0.7, 1.3, layer.gamma.shape))
            layer.beta.assign(random.normal(0, 0.3, layer.beta.shape))
            layer.momentum = 0.0
        if getattr(layer, "filters", getattr(layer, "units", 0)) == 1:
            kernel, bias = layer.get_weights()
            layer.set_weights([random.normal(0, 2 / kernel.shape[-2] ** 0.5, kernel.shape), bias + 0.3])
    model(varied_rows(model, 4, seed=0), training=True)
    return model


def _convolution(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)


def _with_heatmap(rows: keras.KerasTensor, features: keras.KerasTensor) -> keras.Model:
    heatmap = layers.Conv2D(1, 1)(features)
    logit = keras.ops.squeeze(layers.GlobalAveragePooling2D()(heatmap), -1)
    return keras.Model(rows, {"logit": logit, "heatmap": keras.ops.squeeze(heatmap, -1)})
