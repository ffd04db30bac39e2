"""fp16: a backbone's weights and activations in half the bytes, for GPUs and CoreML."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from exporter.bodies import enclose, expose
from exporter.layers import Parts
from exporter.quantize import Rows, activation_ranges
from exporter.rewrite import Rewriter, attributes, forget_shapes

# Sums over many values, and what turns small numbers into large ones.
_DELICATE = [
    "ReduceMean",
    "ReduceSum",
    "ReduceL2",
    "Pow",
    "Sqrt",
    "Reciprocal",
    "Div",
    "Exp",
    "Log",
    "Softmax",
]
# The converter takes tensors of a body for those of the graph.
_WITH_BODIES = ["If", "Loop", "Scan"]
# A quarter of float16's largest number: other rows may reach further than those that were tried.
_LARGEST = float(np.finfo(np.float16).max) / 4


def halve(branch: onnx.ModelProto, rows: Rows) -> onnx.ModelProto:
    """A copy of a branch that computes in float16, with inputs and outputs as before.

    In float32 stay the preprocessing, the mel front end, the first and the last layers, operators that are
    delicate in themselves, and those that made large numbers of `rows` ([N, ...], a few are enough).
    """
    parts = Parts(branch)
    ranges = activation_ranges(branch, rows)
    large = {
        name
        for name, node in parts.nodes.items()
        for tensor in (*node.input, *node.output)
        if tensor in ranges and np.abs(ranges[tensor].range_value).max() > _LARGEST
    }
    typed = onnx.shape_inference.infer_shapes(branch)
    captures = expose(typed.graph)
    half: onnx.ModelProto = convert_float_to_float16(
        typed,
        keep_io_types=True,
        disable_shape_infer=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_DELICATE, *_WITH_BODIES],
        node_block_list=[*parts.front, *parts.head, *large],
    )
    OnnxModel(half).topological_sort()
    enclose(half.graph, captures)
    rewriter = Rewriter(half)
    # Some versions of ORT, as 1.26 and 1.31, write the same Cast once for each node that reads it.
    rewriter.merge_twins()
    _join_float32_nodes(rewriter)
    forget_shapes(half)
    return half


def _join_float32_nodes(rewriter: Rewriter) -> None:
    """Removes the way through float16 that the converter leaves between two nodes in float32."""
    for widen in rewriter.nodes("Cast"):
        narrow = rewriter.producer(widen.input[0])
        if narrow is None or (_target(narrow), _target(widen)) != (TensorProto.FLOAT16, TensorProto.FLOAT):
            continue
        # The converter casts a mask to float16 directly: there is no float32 before it.
        if rewriter.dtype(narrow.input[0]) != TensorProto.FLOAT:
            continue
        identity = helper.make_node("Identity", narrow.input, widen.output, name=widen.name)
        rewriter.replace([widen], identity)
    rewriter.drop_identities()
    rewriter.drop_unused()


def _target(node: onnx.NodeProto) -> int:
    """What a Cast casts to; 0 for other nodes."""
    return int(attributes(node)["to"]) if node.op_type == "Cast" else 0
