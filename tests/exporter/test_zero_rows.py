"""Rewrites for zero rows, on graphs of a few nodes: the same answers, and none from none."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporter.nodes import Nodes
from exporter.zero_rows import convolve_constants, fill_recurrent, settle_reshapes
from tests.graphs import operators, rewritten, row_graph, run

STEPS, FEATURES, UNITS = 3, 4, 5
GATES = {"LSTM": 4, "GRU": 3}


def model(nodes: Nodes, shape: list[int], outputs: dict[str, int]) -> onnx.ModelProto:
    """Rows of this shape in; outputs of these ranks."""
    shapes = {name: [f"{name}{axis}" for axis in range(rank)] for name, rank in outputs.items()}
    return row_graph(nodes, TensorProto.FLOAT, shape, shapes)


def normal(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def recurrent(kind: str, with_state: bool, only_last: bool) -> onnx.ModelProto:
    """Steps in both directions; all steps and the last states, or these alone."""
    nodes, random = Nodes(""), np.random.default_rng(0)
    sequence = nodes.add("Transpose", "rows", perm=[1, 0, 2])
    height = GATES[kind] * UNITS
    weights = [nodes.constant(random.normal(size=(2, height, size))) for size in (FEATURES, UNITS)]
    inputs = [sequence, *weights, nodes.constant(random.normal(size=(2, 2 * height)))]
    if with_state:
        first = nodes.add("Slice", sequence, *(nodes.constant([end], np.int64) for end in (0, 2, 0)))
        padded = nodes.add("Pad", first, nodes.constant([0, 0, 0, 0, 0, UNITS - FEATURES], np.int64))
        inputs += ["", padded]
    outputs = ["" if only_last else "all", "last"]
    layer = helper.make_node(
        kind, inputs, outputs, name="layer", hidden_size=UNITS, direction="bidirectional"
    )
    nodes.nodes.append(layer)
    return model(nodes, [STEPS, FEATURES], {"last": 3} if only_last else {"all": 4, "last": 3})


@pytest.mark.parametrize("only_last", [True, False])
@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("kind", GATES)
def test_recurrent_layers_take_zero_rows(kind: str, with_state: bool, only_last: bool) -> None:
    before = recurrent(kind, with_state, only_last)
    after = rewritten(before, fill_recurrent)
    for count in (1, 3):
        rows = normal(count, STEPS, FEATURES)
        for answer, expected in zip(run(after, rows), run(before, rows), strict=True):
            np.testing.assert_allclose(answer, expected, atol=1e-6)
    shapes = [answer.shape for answer in run(after, np.zeros((0, STEPS, FEATURES), np.float32))]
    assert shapes == ([] if only_last else [(STEPS, 2, 0, UNITS)]) + [(2, 0, UNITS)]


def test_sizes_of_reshapes_are_constants() -> None:
    nodes = Nodes("")
    heads = nodes.add("Reshape", "rows", nodes.constant([0, 0, 2, -1], np.int64))
    heads = nodes.add("Transpose", heads, perm=[0, 2, 1, 3])
    # As the converter writes attention: all heads of all rows in one axis.
    count = nodes.add("ReduceProd", nodes.add("Shape", heads, end=2), axes=[0], keepdims=1)
    sizes = nodes.add("Concat", count, nodes.constant([-1, 3], np.int64), axis=0)
    together = nodes.add("Reshape", heads, sizes)
    shape = nodes.add("Shape", heads)
    nodes.add("Reshape", nodes.add("Abs", together), shape, output="result")
    before = model(nodes, [4, 6], {"result": 4})
    after = rewritten(before, settle_reshapes)
    assert operators(after) == ["Reshape", "Transpose", "Reshape", "Abs", "Reshape"]
    for count_of_rows in (1, 2, 5):
        rows = normal(count_of_rows, 4, 6)
        np.testing.assert_array_equal(run(after, rows)[0], run(before, rows)[0])
    assert run(after, np.zeros((0, 4, 6), np.float32))[0].shape == (0, 2, 4, 3)


def test_reshapes_with_constant_sizes_stay() -> None:
    nodes = Nodes("")
    flat = nodes.add("Reshape", "rows", nodes.constant([-1, 3], np.int64))
    nodes.add("Reshape", flat, nodes.constant([-1, 4, 3], np.int64), output="result")
    before = model(nodes, [4, 3], {"result": 3})
    assert rewritten(before, settle_reshapes) == before


def test_a_reshape_with_rows_in_two_axes_stays() -> None:
    nodes = Nodes("")
    count = nodes.add("Shape", "rows", end=1)
    table = nodes.add("MatMul", "rows", nodes.add("Transpose", "rows", perm=[1, 0]))
    sizes = nodes.add("Concat", count, count, nodes.constant([1], np.int64), axis=0)
    nodes.add("Reshape", table, sizes, output="result")
    before = model(nodes, [3], {"result": 3})
    assert rewritten(before, settle_reshapes) == before


def test_a_constant_matrix_for_every_row_is_a_convolution() -> None:
    nodes = Nodes("")
    matrix = nodes.constant(normal(3, 4))
    nodes.add("MatMul", matrix, "rows", output="result")
    before = model(nodes, [4, 5], {"result": 3})
    after = rewritten(before, convolve_constants)
    assert operators(after) == ["Conv"]
    rows = normal(2, 4, 5)
    np.testing.assert_allclose(run(after, rows)[0], run(before, rows)[0], rtol=1e-5, atol=1e-6)
    assert run(after, np.zeros((0, 4, 5), np.float32))[0].shape == (0, 3, 5)


def test_a_product_with_a_constant_on_the_right_stays() -> None:
    nodes = Nodes("")
    nodes.add("MatMul", "rows", nodes.constant(normal(5, 2)), output="result")
    assert operators(rewritten(model(nodes, [4, 5], {"result": 3}), convolve_constants)) == ["MatMul"]
