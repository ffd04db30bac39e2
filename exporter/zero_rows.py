"""What ONNX Runtime needs to run a branch with zero rows, as of a request that has none for it."""

from copy import deepcopy

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from exporter.rewrite import Rewriter

_RECURRENT = {"LSTM", "GRU"}


def convolve_constants(rewriter: Rewriter) -> None:
    """MatMul of one constant matrix and those of every row → Conv with a kernel of one step.

    ORT's MatMul (up to 1.31) refuses to broadcast a matrix over zero rows.
    """
    for product in rewriter.nodes("MatMul"):
        matrix, rows = rewriter.constant(product.input[0]), product.input[1]
        if matrix is None or matrix.ndim != 2 or len(rewriter.shape(rows)) != 3:
            continue
        kernel = rewriter.add_constant(matrix[:, :, None])
        conv = helper.make_node("Conv", [rows, kernel], product.output, product.name, kernel_shape=[1])
        rewriter.replace([product], conv)


def fill_recurrent(rewriter: Rewriter) -> None:
    """LSTM and GRU get one more row of zeros, whose answer is dropped.

    With zero rows of them ORT (up to 1.32) ends the whole process.
    """
    for node in [node for node in rewriter.graph.node if node.op_type in _RECURRENT]:
        filled = deepcopy(node)
        before, after = [], []
        one_more = rewriter.add_constant(np.array([0, 0, 0, 0, 1, 0], np.int64))
        # Rows are in the middle of the sequences [steps, rows, features] and the first states.
        for place in (0, 5, 6):
            if place < len(node.input) and node.input[place]:
                filled.input[place] = rewriter.unused_name(node.input[place])
                before.append(helper.make_node("Pad", [node.input[place], one_more], [filled.input[place]]))
        start, end = (rewriter.add_constant(np.array([place], np.int64)) for place in (0, -1))
        for place, output in enumerate(node.output):
            if output:
                filled.output[place] = rewriter.unused_name(output)
                # Answers of all steps are [steps, directions, rows, units], the last states lack steps.
                axis = rewriter.add_constant(np.array([1 if place else 2], np.int64))
                after.append(helper.make_node("Slice", [filled.output[place], start, end, axis], [output]))
        rewriter.replace([node], *before, filled, *after)


def settle_reshapes(rewriter: Rewriter) -> None:
    """Reshape to computed sizes, or to [0, -1, …] → to constant sizes, and -1 where the rows are.

    With zero elements, ORT (up to 1.32) cannot infer -1 if another size is 0 too, as in attention. The sizes
    are taken from two runs with different numbers of rows: the size that differs is that of the rows.
    """
    doubtful = [node for node in rewriter.nodes("Reshape") if _is_doubtful(rewriter, node)]
    if not doubtful:
        return
    names = [node.output[0] for node in doubtful]
    for node, *shapes in zip(doubtful, *(_shapes(rewriter, names, rows) for rows in (2, 3)), strict=True):
        sizes = [size if size == other else -1 for size, other in zip(*shapes, strict=True)]
        if sizes.count(-1) <= 1:
            inputs = [node.input[0], rewriter.add_constant(np.array(sizes, np.int64))]
            rewriter.replace([node], helper.make_node("Reshape", inputs, node.output, node.name))


def _is_doubtful(rewriter: Rewriter, reshape: onnx.NodeProto) -> bool:
    target = rewriter.constant(reshape.input[1])
    return target is None or (0 in target and -1 in target)


def _shapes(rewriter: Rewriter, tensors: list[str], rows: int) -> list[tuple[int, ...]]:
    """What shapes tensors have in a run with so many rows."""
    probe = deepcopy(rewriter.model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (source,) = probe.graph.input
    dtype = helper.tensor_dtype_to_np_dtype(source.type.tensor_type.elem_type)
    inputs = np.zeros([rows, *map(int, rewriter.shape(source.name)[1:])], dtype)
    return [answer.shape for answer in session.run(tensors, {source.name: inputs})]
