"""The graph's inputs and outputs: what the exporter writes, and what may be sent to it.

R requests, F frames, I image rows, C clips of T frames, A audio windows of S samples; F, I, C and A may be
0. A modality that the graph does not have takes its inputs and outputs with it.

    input                              type, shape                 meaning
    frames                             uint8 [F, H, W, 3]          RGB, for the image and the video branch
    image_index, image_request         int64 [I], [I]              which frame, and for which request
    clip_index, clip_request           int64 [C, T], [C]           which frames, and for which request
    audio, audio_request               float32 [A, S], int64 [A]   mono in [-1, 1], and for which request
    weights                            float32 [R, 3]              of image, video, audio; 0 switches one off

    output                             type, shape                 meaning
    fake_probability                   float32 [R]                 0 if no modality is present
    modality_probability               float32 [R, 3]              0 where not present
    modality_present                   bool [R, 3]                 has rows and a positive weight
    image_probability, image_heatmap   float32 [I], [I, h, w]
    clip_probability                   float32 [C]
    audio_probability                  float32 [A]
"""

from dataclasses import dataclass

import numpy as np

from server.engine.manifest import MODALITIES, Manifest


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a graph. The first size of `shape` is the letter of a number that varies."""

    name: str
    dtype: type[np.generic]
    shape: tuple[int | str, ...]


def inputs_of(manifest: Manifest) -> list[TensorSpec]:
    """What the graph takes, in its order."""
    specs = []
    if manifest.image or manifest.video:
        specs.append(TensorSpec("frames", np.uint8, ("F", manifest.height, manifest.width, 3)))
    if manifest.image:
        specs.append(TensorSpec("image_index", np.int64, ("I",)))
        specs.append(TensorSpec("image_request", np.int64, ("I",)))
    if manifest.video:
        specs.append(TensorSpec("clip_index", np.int64, ("C", manifest.video.clip_length)))
        specs.append(TensorSpec("clip_request", np.int64, ("C",)))
    if manifest.audio:
        specs.append(TensorSpec("audio", np.float32, ("A", manifest.audio.window_samples)))
        specs.append(TensorSpec("audio_request", np.int64, ("A",)))
    return [*specs, TensorSpec("weights", np.float32, ("R", len(MODALITIES)))]


def outputs_of(manifest: Manifest) -> list[TensorSpec]:
    """What the graph gives, in its order."""
    specs = [
        TensorSpec("fake_probability", np.float32, ("R",)),
        TensorSpec("modality_probability", np.float32, ("R", len(MODALITIES))),
        TensorSpec("modality_present", np.bool_, ("R", len(MODALITIES))),
    ]
    if manifest.image:
        cells = (manifest.image.heatmap_height, manifest.image.heatmap_width)
        specs.append(TensorSpec("image_probability", np.float32, ("I",)))
        specs.append(TensorSpec("image_heatmap", np.float32, ("I", *cells)))
    if manifest.video:
        specs.append(TensorSpec("clip_probability", np.float32, ("C",)))
    if manifest.audio:
        specs.append(TensorSpec("audio_probability", np.float32, ("A",)))
    return specs
