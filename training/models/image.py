"""The image model: one picture or frame → logit and class-activation map."""

from typing import Any

import keras
from keras import layers

from training.models.backbone import Backbone, check_tiny_weights, pretrained_features
from training.models.layers import Magnitude, context_block, conv_block, residual_filters


def build_image_model(
    backbone: Backbone, height: int, width: int, weights: str = "imagenet", dropout: float = 0.2
) -> keras.Model:
    """A model uint8 [B, height, width, 3] → {"logit": [B], "heatmap": [B, h, w]}; positive is fake.

    The heatmap is a 1×1 convolution of the last feature map and the logit its average, which is
    what global average pooling and a dense layer compute (class-activation maps, Zhou et al., 2016).

    Args:
        weights: of the backbone: "imagenet", "none" or a path; "none" for the tiny one.
        dropout: share of feature channels dropped in training.

    Raises:
        ValueError: unknown backbone, or weights that it cannot have.
    """
    pixels = keras.Input((height, width, 3), dtype="uint8", name="frames")
    if backbone == "tiny":
        check_tiny_weights(weights)
        features = tiny_features(pixels)
    else:
        features = pretrained_features(backbone, height, width, weights, pixels)
    features = layers.SpatialDropout2D(dropout)(features)
    cells = layers.Conv2D(1, 1, name="activation_map", dtype="float32")(features)
    heatmap = layers.Reshape(cells.shape[1:3], name="heatmap", dtype="float32")(cells)
    pooled = layers.GlobalAveragePooling2D(dtype="float32")(cells)
    logit = layers.Reshape((), name="logit", dtype="float32")(pooled)
    return keras.Model(pixels, {"logit": logit, "heatmap": heatmap}, name="image")


def tiny_features(pixels: Any) -> Any:
    """Forensic features [B, height / 16, width / 16, 96] of uint8 pixels.

    Noise residuals at full resolution show how a picture was made, colours at a quarter of it
    what was blended; both are compared with the rest of the picture.
    """
    values = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32")(pixels)
    residuals = residual_filters(values, 15)
    traces = layers.Concatenate()([residuals, Magnitude()(residuals)])
    traces = conv_block(traces, 32, stride=2)
    traces = conv_block(traces, 48, stride=2)
    colours = conv_block(layers.AveragePooling2D(4)(values), 16)
    features = conv_block(layers.Concatenate()([traces, colours]), 64)
    features = context_block(conv_block(features, 96, stride=2), 96)
    features = conv_block(features, 96)
    features = context_block(conv_block(features, 96, stride=2), 96)
    return conv_block(features, 96)
