"""The video model: clips of consecutive frames → logit. It sees changes, not only frames."""

from typing import Any

import keras
from keras import layers

from training.models.backbone import DROPOUT, pretrained_features
from training.models.layers import BatchToFrames, FramesToBatch, Moments, Motion, context_block, conv_block
from training.settings import Backbone


def build_video_model(
    backbone: Backbone, clip_length: int, height: int, width: int, weights: str = "imagenet"
) -> keras.Model:
    """A model uint8 [B, clip_length, height, width, 3] → {"logit": [B]}; positive is fake.

    Args:
        clip_length: frames of a clip, 3 or more.
        weights: as in `training.models.image.build_image_model`.

    Raises:
        ValueError: too short a clip.
    """
    if clip_length < 3:
        raise ValueError(f"changes between frames need clips of 3 frames or more, not {clip_length}")
    clips = keras.Input((clip_length, height, width, 3), dtype="uint8", name="clips")
    if backbone == "tiny":
        features = _tiny_features(clips, clip_length)
    else:
        features = _pretrained_features(backbone, clips, weights)
    features = layers.SpatialDropout2D(DROPOUT)(features)
    pooled = layers.GlobalAveragePooling2D(dtype="float32")(features)
    logit = layers.Reshape((), name="logit", dtype="float32")(layers.Dense(1, dtype="float32")(pooled))
    return keras.Model(clips, {"logit": logit}, name="video")


def _tiny_features(clips: Any, clip_length: int) -> Any:
    """Pixels and their changes around every inner frame, then how those vary over time and place."""
    values = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32")(clips)
    moments = FramesToBatch()(Motion(dtype="float32")(values))
    features = conv_block(moments, 24, stride=2, size=5)
    features = conv_block(features, 32, stride=2)
    features = conv_block(features, 48)
    features = conv_block(features, 64, stride=2)
    features = Moments()(BatchToFrames(clip_length - 2)(features))
    features = context_block(conv_block(features, 64, size=1), 64)
    features = conv_block(features, 96, stride=2)
    features = context_block(conv_block(features, 96), 96)
    return conv_block(features, 96)


def _pretrained_features(backbone: Backbone, clips: Any, weights: str) -> Any:
    """A backbone's features of each frame, and how they change."""
    _, clip_length, height, width, _ = clips.shape
    maps = pretrained_features(backbone, height, width, weights, FramesToBatch()(clips))
    maps = BatchToFrames(clip_length)(conv_block(maps, 128, size=1))
    changes = Motion(gain=1.0)(maps)
    return conv_block(Moments()(changes), 128)
