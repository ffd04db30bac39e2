"""Backbones from keras.applications, with their preprocessing inside."""

from typing import Any

import keras
import numpy as np
from keras import layers

from training.errors import DataError
from training.settings import Backbone

NAME = "backbone"
DROPOUT = 0.2
"""Share of feature channels dropped in training."""

_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="deepfake")
class Pretrained(keras.Model):  # type: ignore[misc]
    """A model that computes in training as it does afterwards.

    `training=False` where it is called would not do: the model around it overrules that (Keras 3.15).
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:  # noqa: ARG002
        return super().call(inputs, training=False, mask=mask)


def pretrained_features(backbone: Backbone, height: int, width: int, weights: str, pixels: Any) -> Any:
    """The last feature map of a backbone, [B, height / 32, width / 32, C].

    Pretrained, it keeps its batch statistics while it is fine-tuned: batches of a few dozen
    pictures of another kind would ruin them.

    Args:
        weights: "imagenet", "none", or the path of a weights file of the backbone without its top.
        pixels: uint8 or float [B, height, width, 3] in [0, 255].

    Raises:
        ValueError: an unknown backbone.
        DataError: the weights cannot be downloaded, or read.
    """
    match backbone:
        case "efficientnetb0":
            build, values = keras.applications.EfficientNetB0, layers.Rescaling(1.0)(pixels)
        case "resnet50v2":
            build, values = keras.applications.ResNet50V2, layers.Rescaling(1 / 127.5, offset=-1)(pixels)
        case _:
            raise ValueError(f"no pretrained backbone is called {backbone!r}")
    try:
        body = build(False, None if weights == "none" else weights, input_shape=(height, width, 3))
    except Exception as error:  # the bare class, where a download fails
        advice = "give --weights none, or the path of a .weights.h5"
        raise DataError(f"no weights {weights} for {backbone}: {error}; {advice}") from error
    if backbone == "efficientnetb0" and weights not in ("none", "imagenet"):
        _scale_as_imagenet(body)
    # Not before: Keras would look for weights of this name.
    kind = keras.Model if weights == "none" else Pretrained
    return kind(body.input, body.output, name=NAME)(values)


def _scale_as_imagenet(body: keras.Model) -> None:
    """Makes up for deviations that the published weights have where variances belong.

    Keras does so itself, with one more layer, but only where it downloads them.
    """
    (normalization,) = (layer for layer in body.layers if isinstance(layer, layers.Normalization))
    mean, variance, *others = normalization.get_weights()
    if np.allclose(mean, _IMAGENET_MEAN, atol=1e-3) and np.allclose(variance, _IMAGENET_DEVIATION, atol=1e-3):
        normalization.set_weights([mean, variance * _IMAGENET_DEVIATION, *others])
        normalization.finalize_state()


def set_backbone_trainable(model: keras.Model, trainable: bool) -> None:
    """Freezes or thaws the backbone; a tiny model has none, and nothing happens. Compile afterwards."""
    for layer in model.layers:
        if layer.name == NAME:
            layer.trainable = trainable
