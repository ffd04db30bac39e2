"""The image model: one picture or frame → logit and class-activation map."""

from typing import Any

import keras
from keras import layers

from training.models.backbone import DROPOUT, pretrained_features
from training.models.layers import LogMeanExp, conv_block, relative_block
from training.models.spectrum import LocalSpectrum
from training.settings import Backbone


def build_image_model(backbone: Backbone, height: int, width: int, weights: str = "imagenet") -> keras.Model:
    """A model uint8 [B, height, width, 3] → {"logit": [B], "heatmap": [B, h, w]}; positive is fake.

    The heatmap is a 1×1 convolution of the last feature map. The logit of a pretrained backbone is its
    average, which is what global average pooling and a dense layer compute (class-activation maps, Zhou
    et al., 2016); that of the tiny one its log-mean-exp, as most cells of a forged picture are real.

    Args:
        weights: of the backbone: "imagenet", "none" or a path; the tiny one has none.
    """
    pixels = keras.Input((height, width, 3), dtype="uint8", name="frames")
    if backbone == "tiny":
        features = tiny_features(pixels)
    else:
        features = pretrained_features(backbone, height, width, weights, pixels)
    features = layers.SpatialDropout2D(DROPOUT)(features)
    cells = layers.Conv2D(1, 1, name="activation_map", dtype="float32")(features)
    heatmap = layers.Reshape(cells.shape[1:3], name="heatmap", dtype="float32")(cells)
    if backbone == "tiny":
        logit = LogMeanExp(name="logit", dtype="float32")(heatmap)
    else:
        pooled = layers.GlobalAveragePooling2D(dtype="float32")(cells)
        logit = layers.Reshape((), name="logit", dtype="float32")(pooled)
    return keras.Model(pixels, {"logit": logit, "heatmap": heatmap}, name="image")


def tiny_features(pixels: Any) -> Any:
    """Forensic features [B, height / 16, width / 16, 64] of uint8 pixels.

    How strong every frequency is shows how a part was made, the colours show what was blended. Few
    values mean anything by themselves: what counts is that a part is unlike the rest of its picture.
    """
    values = layers.Rescaling(1.0, dtype="float32")(pixels)
    spectrum = layers.BatchNormalization(momentum=0.97)(LocalSpectrum(dtype="float32")(values))
    traces = relative_block(spectrum, 48)
    halved = layers.Rescaling(1 / 127.5, offset=-1)(layers.AveragePooling2D(2, padding="same")(values))
    colours = conv_block(conv_block(halved, 16, stride=2), 32, stride=2)
    features = conv_block(layers.Concatenate()([traces, colours]), 48)
    features = conv_block(relative_block(features, 48), 64, stride=2)
    for _ in range(2):
        features = conv_block(relative_block(features, 64), 64)
    return relative_block(features, 64)
