"""A detector that takes no time: its logit is the mean of the pixels, from -4 for black to 4 for white."""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.material.keras_model import KEEP
from server.engine.manifest import ImageBranch, Manifest
from server.media.spec import spec_hash

NAME = "mean"
_LOGIT = 4.0
_CELLS = 4


def mean_graph(size: int, folder: Path = KEEP) -> Path:
    """`.../model.onnx` for frames of size × size pixels, a multiple of 4, from `folder` or written into it.

    Raises:
        RuntimeError: it has to be made, and the extra `train` is missing.
    """
    file = folder / f"{NAME}-{size}" / NAME / "1" / "model.onnx"
    if not file.is_file():
        if importlib.util.find_spec("onnx") is None:
            raise RuntimeError(f"{file} has to be made first: install the extra 'train'")
        _write(file, size)
    return file


def _write(file: Path, size: int) -> None:
    import onnx
    from onnx import TensorProto, helper

    from exporter.graph import IR_VERSION, OPSET, build_detector
    from exporter.nodes import Nodes

    nodes = Nodes("")
    pixels = nodes.add("Cast", "rows", to=TensorProto.FLOAT)
    centred = nodes.add("Sub", pixels, nodes.constant(255 / 2))
    logits = nodes.add("Mul", centred, nodes.constant(2 * _LOGIT / 255))
    cells = nodes.constant([0, _CELLS, size // _CELLS, _CELLS, size // _CELLS * 3], np.int64)
    nodes.add("ReduceMean", nodes.add("Reshape", logits, cells), output="heatmap", axes=[2, 4], keepdims=0)
    nodes.add("ReduceMean", "heatmap", output="logit", axes=[1, 2], keepdims=0)
    rows = helper.make_tensor_value_info("rows", TensorProto.UINT8, ["N", size, size, 3])
    outputs = [
        helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N"]),
        helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, ["N", _CELLS, _CELLS]),
    ]
    graph = helper.make_graph(nodes.nodes, "mean", [rows], outputs, nodes.constants)
    opset = [helper.make_opsetid("", OPSET)]
    branch = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)
    manifest = Manifest(
        name=NAME,
        version="1",
        created=datetime.now(UTC),
        spec_hash=spec_hash(),
        height=size,
        width=size,
        image=ImageBranch(heatmap_height=_CELLS, heatmap_width=_CELLS),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(build_detector(manifest, {"image": branch}), file)
