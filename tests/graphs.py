"""Graphs of a few nodes, and what a rewrite makes of them."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from exporter.graph import IR_VERSION, OPSET
from exporter.nodes import Nodes
from exporter.rewrite import Rewriter

Shape = Sequence[int | str]


def row_graph(nodes: Nodes, dtype: int, shape: Shape, outputs: Mapping[str, Shape]) -> onnx.ModelProto:
    """`rows` of this shape in, float outputs of these shapes out, like a branch of a detector."""
    rows = helper.make_tensor_value_info("rows", dtype, ["N", *shape])
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in outputs.items()]
    graph = helper.make_graph(nodes.nodes, "graph", [rows], made, nodes.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def spoiled(graph: Path, output: str, operation: str, *constants: float | list[float]) -> Path:
    """Puts one more node before an output of the graph."""
    model = onnx.load(graph)
    (node,) = (node for node in model.graph.node if output in node.output)
    node.output[list(node.output).index(output)] = "unspoiled"
    names = [f"constant_{number}" for number in range(len(constants))]
    for name, value in zip(names, constants, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    model.graph.node.append(helper.make_node(operation, ["unspoiled", *names], [output]))
    onnx.save(model, graph)
    return graph


def rewritten(graph: onnx.ModelProto, rewrite: Callable[[Rewriter], None]) -> onnx.ModelProto:
    """A copy after the rewrite, without what nothing uses any more."""
    copy = deepcopy(graph)
    rewriter = Rewriter(copy)
    rewrite(rewriter)
    rewriter.drop_unused()
    onnx.checker.check_model(copy, full_check=True)
    return copy


def run(
    graph: onnx.ModelProto, rows: NDArray[np.generic], optimised: bool = True
) -> list[NDArray[np.float32]]:
    """What ONNX Runtime makes of the input `rows`: all outputs in their order."""
    options = onnxruntime.SessionOptions()
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"rows": rows}))


def operators(graph: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in graph.graph.node]
