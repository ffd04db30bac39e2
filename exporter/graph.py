"""Merges the branches and the fusion into the detector: one graph, ragged rows (the contract of the server).

R requests, F frames, I image rows, C clips of T frames, A audio windows of S samples; I, C and A
may be 0. A branch that is missing takes its inputs and outputs with it.

Inputs:
    frames            uint8   [F, H, W, 3]  shared by the image and the video branch
    image_index       int64   [I]           which frames the image branch scores
    image_request     int64   [I]           and for which request
    clip_index        int64   [C, T]        which frames make a clip
    clip_request      int64   [C]
    audio             float32 [A, S]        mono PCM
    audio_request     int64   [A]
    weights           float32 [R, 3]        0 switches a modality off

Outputs:
    fake_probability      float32 [R]     0 if no modality is present
    modality_probability  float32 [R, 3]  0 where not present
    modality_present      bool    [R, 3]  has rows and a positive weight
    image_probability     float32 [I]
    clip_probability      float32 [C]
    audio_probability     float32 [A]
    image_heatmap         float32 [I, h, w]
"""

from collections.abc import Mapping
from copy import deepcopy

import onnx
from onnx import TensorProto, helper

from exporter.blocked import name_rows
from exporter.bodies import add_prefix
from exporter.fusion import ModalityRows, calibrate, fuse
from exporter.nodes import Nodes
from server.engine.manifest import METADATA_KEY, Manifest

OPSET = 17
IR_VERSION = 8

_REQUEST = {"image": "image_request", "video": "clip_request", "audio": "audio_request"}
OUTPUTS = {
    "image": {"logit": "image_probability", "heatmap": "image_heatmap"},
    "video": {"logit": "clip_probability"},
    "audio": {"logit": "audio_probability"},
}
"""Outputs of each branch in their order, and what they are in the detector after calibration."""


def build_detector(manifest: Manifest, branches: Mapping[str, onnx.ModelProto]) -> onnx.ModelProto:
    """Makes the detector out of one graph per modality of the manifest.

    Args:
        manifest: sizes, calibration and aggregation; it is stored in the result.
        branches: by modality. Each has the opset of this module, one input `rows` (image: uint8
            [N, H, W, 3], video: uint8 [N, T, H, W, 3], audio: float32 [N, S]), an output `logit`
            float32 [N], and for image an output `heatmap` float32 [N, h, w].

    Raises:
        onnx.checker.ValidationError: a branch is no valid graph of this kind.
    """
    nodes = Nodes("fusion/")
    _feed_branches(nodes, manifest)
    prefixed = [_with_prefix(branches[modality], modality) for modality in manifest.modalities]
    for branch in prefixed:
        nodes.nodes.extend(branch.graph.node)
        nodes.constants.extend(branch.graph.initializer)
    rows = {
        modality: ModalityRows(
            getattr(manifest, modality), f"{modality}/logit", _REQUEST[modality], OUTPUTS[modality]["logit"]
        )
        for modality in manifest.modalities
    }
    fuse(nodes, rows, "weights")
    if manifest.image:
        calibrate(nodes, manifest.image, "image/heatmap", OUTPUTS["image"]["heatmap"])
    graph = helper.make_graph(nodes.nodes, "detector", _inputs(manifest), _outputs(manifest), nodes.constants)
    imports = {
        (entry.domain, entry.version): entry for branch in prefixed for entry in branch.opset_import
    }.values()
    detector = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
    name_rows(detector)
    write_manifest(detector, manifest)
    onnx.checker.check_model(detector, full_check=True)
    return detector


def write_manifest(detector: onnx.ModelProto, manifest: Manifest) -> None:
    """Replaces the manifest in the graph's metadata."""
    helper.set_model_props(detector, {METADATA_KEY: manifest.model_dump_json()})


def _feed_branches(nodes: Nodes, manifest: Manifest) -> None:
    if manifest.image:
        nodes.add("Gather", "frames", "image_index", output="image/rows", axis=0)
    if manifest.video:
        nodes.add("Gather", "frames", "clip_index", output="video/rows", axis=0)
    if manifest.audio:
        nodes.add("Identity", "audio", output="audio/rows")


def _with_prefix(branch: onnx.ModelProto, modality: str) -> onnx.ModelProto:
    prefixed = deepcopy(branch)
    add_prefix(prefixed.graph, f"{modality}/")
    return prefixed


def _inputs(manifest: Manifest) -> list[onnx.ValueInfoProto]:
    inputs = []
    if manifest.image or manifest.video:
        inputs.append(_value("frames", TensorProto.UINT8, "F", manifest.height, manifest.width, 3))
    if manifest.image:
        inputs.append(_value("image_index", TensorProto.INT64, "I"))
        inputs.append(_value("image_request", TensorProto.INT64, "I"))
    if manifest.video:
        inputs.append(_value("clip_index", TensorProto.INT64, "C", manifest.video.clip_length))
        inputs.append(_value("clip_request", TensorProto.INT64, "C"))
    if manifest.audio:
        inputs.append(_value("audio", TensorProto.FLOAT, "A", manifest.audio.window_samples))
        inputs.append(_value("audio_request", TensorProto.INT64, "A"))
    inputs.append(_value("weights", TensorProto.FLOAT, "R", 3))
    return inputs


def _outputs(manifest: Manifest) -> list[onnx.ValueInfoProto]:
    outputs = [
        _value("fake_probability", TensorProto.FLOAT, "R"),
        _value("modality_probability", TensorProto.FLOAT, "R", 3),
        _value("modality_present", TensorProto.BOOL, "R", 3),
    ]
    if manifest.image:
        height, width = manifest.image.heatmap_height, manifest.image.heatmap_width
        outputs.append(_value("image_probability", TensorProto.FLOAT, "I"))
        outputs.append(_value("image_heatmap", TensorProto.FLOAT, "I", height, width))
    if manifest.video:
        outputs.append(_value("clip_probability", TensorProto.FLOAT, "C"))
    if manifest.audio:
        outputs.append(_value("audio_probability", TensorProto.FLOAT, "A"))
    return outputs


def _value(name: str, dtype: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)
