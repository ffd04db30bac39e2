"""Graphs of a few nodes, and what a rewrite makes of them."""

from collections.abc import Callable, Mapping, Sequence

import onnx
from onnx import TensorProto, helper

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


def rewritten(graph: onnx.ModelProto, rewrite: Callable[[Rewriter], None]) -> onnx.ModelProto:
    """A copy after the rewrite, without what nothing uses any more."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    rewriter = Rewriter(copy)
    rewrite(rewriter)
    rewriter.drop_unused()
    onnx.checker.check_model(copy, full_check=True)
    return copy


def operators(graph: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in graph.graph.node]
