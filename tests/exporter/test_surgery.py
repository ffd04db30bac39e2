"""The rewrites one by one, on graphs of a few nodes, against the same graph as it was, not optimised."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporter.head import fold_head
from exporter.layout import hoist_transposes
from exporter.nodes import Nodes
from exporter.padded_maximum import replace_zero_padded_maximum
from exporter.rewrite import Rewriter
from tests.graphs import operators, rewritten, row_graph, run


def model(nodes: Nodes, dtype: int, shape: Sequence[int], rank: int) -> onnx.ModelProto:
    """Rows of this shape in, a tensor `result` out."""
    return row_graph(nodes, dtype, shape, {"result": [f"d{axis}" for axis in range(rank)]})


def check_same(before: onnx.ModelProto, after: onnx.ModelProto, rows: NDArray[np.generic]) -> None:
    (answer,), (expected,) = (run(graph, rows, optimised=False) for graph in (after, before))
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-4)


def pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)


def normal(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=shape)


@settings(max_examples=60)
@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    pads=st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_zero_padded_maximum(kernel: int, stride: int, pads: list[int]) -> None:
    nodes = Nodes("")
    amounts = nodes.constant([0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]], np.int64)
    padded = nodes.add("Pad", "rows", amounts)
    nodes.add("MaxPool", padded, output="result", kernel_shape=[kernel] * 2, strides=[stride] * 2)
    before = model(nodes, TensorProto.FLOAT, (2, 6, 5), 4)
    after = rewritten(before, replace_zero_padded_maximum)
    if max(pads) < kernel:
        assert operators(after) == ["MaxPool", "Max"]
    # All negative, so that a zero from the padding always wins.
    check_same(before, after, -1 - np.random.default_rng(0).random((2, 2, 6, 5), np.float32))


def test_maximum_padded_with_another_value_stays() -> None:
    nodes = Nodes("")
    padded = nodes.add(
        "Pad", "rows", nodes.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), nodes.constant(-9.0)
    )
    nodes.add("MaxPool", padded, output="result", kernel_shape=[3, 3], strides=[2, 2])
    before = model(nodes, TensorProto.FLOAT, (2, 6, 5), 4)
    assert operators(rewritten(before, replace_zero_padded_maximum)) == ["Pad", "MaxPool"]


@pytest.mark.parametrize(("amounts", "own"), [([1, 1, 1, 1], 1), ([-1, 0, 1, 1], 0)])
def test_a_maximum_with_pads_of_its_own_and_one_behind_a_cut_stay_the_same(
    amounts: list[int], own: int
) -> None:
    nodes = Nodes("")
    padded = nodes.add("Pad", "rows", nodes.constant([0, 0, *amounts[:2], 0, 0, *amounts[2:]], np.int64))
    options = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [own] * 4}
    nodes.add("MaxPool", padded, output="result", **options)
    before = model(nodes, TensorProto.FLOAT, (2, 6, 5), 4)
    after = rewritten(before, replace_zero_padded_maximum)
    check_same(before, after, -1 - np.random.default_rng(0).random((2, 2, 6, 5), np.float32))


@pytest.mark.parametrize("padding", [0, 1])
def test_scaling_is_folded_into_the_convolution(padding: int) -> None:
    nodes = Nodes("")
    x = nodes.add("Cast", nodes.add("Transpose", "rows", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    x = nodes.add("Div", x, nodes.constant(127.5))
    x = nodes.add("Sub", x, nodes.constant(np.array([0.5, 0.4, 0.3]).reshape(1, 3, 1, 1)))
    x = nodes.add("Mul", nodes.constant(np.array([2, 3, 4.0]).reshape(3, 1, 1)), x)
    weights = nodes.constant(normal(5, 3, 3, 3))
    nodes.add("Conv", x, weights, nodes.constant(normal(5)), output="result", pads=[padding] * 4)
    before = model(nodes, TensorProto.UINT8, (8, 8, 3), 4)
    after = rewritten(before, fold_head)
    assert operators(after) == ["Transpose", "Cast", *(["Add"] if padding else []), "Conv"]
    check_same(before, after, pixels(8, 8, 3))


@pytest.mark.parametrize("operator", ["Sub", "Div"])
def test_what_is_taken_from_a_constant_or_divides_it_is_not_folded(operator: str) -> None:
    nodes = Nodes("")
    x = nodes.add("Cast", nodes.add("Transpose", "rows", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    x = nodes.add(operator, nodes.constant(1.0), x)
    nodes.add("Conv", x, nodes.constant(normal(5, 3, 3, 3)), output="result")
    before = model(nodes, TensorProto.UINT8, (8, 8, 3), 4)
    assert operators(rewritten(before, fold_head)) == ["Transpose", "Cast", operator, "Conv"]


def test_a_colour_that_is_switched_off_is_not_folded() -> None:
    nodes = Nodes("")
    x = nodes.add("Cast", nodes.add("Transpose", "rows", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    x = nodes.add("Mul", x, nodes.constant(np.array([0, 1, 0.5]).reshape(1, 3, 1, 1)))
    x = nodes.add("Add", x, nodes.constant(0.5))
    nodes.add("Conv", x, nodes.constant(normal(5, 3, 3, 3)), output="result", pads=[1] * 4)
    before = model(nodes, TensorProto.UINT8, (8, 8, 3), 4)
    check_same(before, rewritten(before, fold_head), pixels(8, 8, 3))


def test_transpose_meets_its_inverse() -> None:
    nodes = Nodes("")
    weights = nodes.constant(normal(4, 3, 1, 1))
    last = nodes.add("Transpose", nodes.add("Conv", "rows", weights), perm=[0, 2, 3, 1])
    x = nodes.add("Softsign", nodes.add("Mul", last, nodes.constant(normal(4))))
    x = nodes.add("Concat", x, nodes.add("Abs", last), axis=-1)
    x = nodes.add("Slice", x, *(nodes.constant([value], np.int64) for value in (1, 7, -1)))
    x = nodes.add("ReduceMean", x, axes=[2], keepdims=1)
    nodes.add("Transpose", x, output="result", perm=[0, 3, 1, 2])
    before = model(nodes, TensorProto.FLOAT, (3, 6, 5), 4)
    after = rewritten(before, hoist_transposes)
    assert "Transpose" not in operators(after)
    check_same(before, after, normal(2, 3, 6, 5).astype(np.float32))


def test_transpose_moves_over_frames_to_the_bytes() -> None:
    nodes = Nodes("")
    clips = nodes.add("Cast", "rows", to=TensorProto.FLOAT)
    frames = nodes.add("Reshape", clips, nodes.constant([-1, 4, 5, 3], np.int64))
    scaled = nodes.add("Add", frames, nodes.constant([1.0, 2.0, 3.0]))
    clips = nodes.add("Reshape", scaled, nodes.constant([-1, 2, 4, 5, 3], np.int64))
    largest = nodes.add("ReduceMax", clips, axes=[1], keepdims=0)
    nodes.add("Transpose", largest, output="result", perm=[0, 3, 1, 2])
    before = model(nodes, TensorProto.UINT8, (2, 4, 5, 3), 4)
    after = rewritten(before, hoist_transposes)
    transposes = [node for node in after.graph.node if node.op_type == "Transpose"]
    assert [node.input[0] for node in transposes] == ["rows"]
    check_same(before, after, pixels(2, 4, 5, 3))


def test_transpose_that_would_only_move_stays() -> None:
    nodes = Nodes("")
    product = nodes.add("MatMul", "rows", nodes.constant(normal(3, 4)))
    nodes.add("Transpose", nodes.add("Abs", product), output="result", perm=[0, 3, 1, 2])
    before = model(nodes, TensorProto.FLOAT, (6, 5, 3), 4)
    assert operators(rewritten(before, hoist_transposes)) == ["MatMul", "Abs", "Transpose"]


def test_a_reshape_that_mixes_places_and_channels_blocks() -> None:
    nodes = Nodes("")
    mixed = nodes.add("Reshape", "rows", nodes.constant([-1, 5, 6, 3], np.int64))
    nodes.add("Transpose", nodes.add("Cast", mixed, to=TensorProto.FLOAT), output="result", perm=[0, 3, 1, 2])
    before = model(nodes, TensorProto.UINT8, (6, 5, 3), 4)
    after = rewritten(before, hoist_transposes)
    assert operators(after) == ["Reshape", "Cast", "Transpose"]
    check_same(before, after, pixels(6, 5, 3))


def test_transposes_pass_borders_and_leave_no_copies_behind() -> None:
    nodes = Nodes("")
    bordered = nodes.add(
        "Pad",
        nodes.add("Cast", "rows", to=TensorProto.FLOAT),
        nodes.constant([0, 1, 2, 0, 0, 0, 1, 0], np.int64),
        mode="reflect",
    )
    x = nodes.add("Reciprocal", nodes.add("Add", bordered, nodes.constant(1.0)))
    sides = (nodes.add("Transpose", x, perm=[0, 3, 1, 2]) for _ in range(2))
    nodes.add("Add", *sides, output="result")
    before = model(nodes, TensorProto.UINT8, (6, 7, 3), 4)
    after = rewritten(before, hoist_transposes)
    check_same(before, after, pixels(6, 7, 3))
    assert operators(after) == ["Transpose", "Cast", "Pad", "Add", "Reciprocal", "Add"]


def test_a_node_that_was_written_twice_stays_once() -> None:
    nodes = Nodes("")
    root = nodes.add("Sqrt", "rows")
    nodes.add("Add", root, root, output="result")
    before = model(nodes, TensorProto.FLOAT, (4,), 2)
    before.graph.node.insert(1, before.graph.node[0])
    assert operators(rewritten(before, Rewriter.merge_twins)) == ["Sqrt", "Add"]


def test_nodes_with_other_outputs_are_no_twins() -> None:
    nodes = Nodes("")
    halves, quarters = ([f"{part}_of_{count}" for part in range(count)] for count in (2, 4))
    for parts in (halves, quarters):
        nodes.nodes.append(helper.make_node("Split", ["rows"], parts, name=parts[0], axis=1))
    nodes.add("Concat", *halves, *quarters, output="result", axis=1)
    before = model(nodes, TensorProto.FLOAT, (4,), 2)
    after = rewritten(before, Rewriter.merge_twins)
    assert operators(after) == ["Split", "Split", "Concat"]
    check_same(before, after, normal(2, 4).astype(np.float32))
