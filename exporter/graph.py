"""Merges the branches and the fusion into the detector, the graph of `server.engine.signature`."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

import numpy as np
import onnx
from onnx import helper

from exporter.blocked import name_rows
from exporter.bodies import add_prefix
from exporter.fusion import ModalityRows, calibrate, fuse
from exporter.nodes import Nodes
from server.engine.manifest import METADATA_KEY, Manifest
from server.engine.signature import TensorSpec, inputs_of, outputs_of

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
    inputs, outputs = _values(inputs_of(manifest)), _values(outputs_of(manifest))
    graph = helper.make_graph(nodes.nodes, "detector", inputs, outputs, nodes.constants)
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


def _values(specs: Sequence[TensorSpec]) -> list[onnx.ValueInfoProto]:
    types = {spec.name: helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)) for spec in specs}
    return [helper.make_tensor_value_info(spec.name, types[spec.name], spec.shape) for spec in specs]
