"""Resize against Keras, for sizes whose ratio no float32 hits."""

import keras
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from exporter.nodes import Nodes
from exporter.resize import settle_resizes
from exporter.rewrite import Rewriter
from tests.graphs import row_graph, run

# As the converter writes them.
WAYS = {
    "nearest": {
        "mode": "nearest",
        "coordinate_transformation_mode": "tf_half_pixel_for_nn",
        "nearest_mode": "floor",
    },
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}


def resizing(interpolation: str, before: tuple[int, int], after: tuple[int, int]) -> onnx.ModelProto:
    nodes = Nodes("")
    scales = nodes.constant([1, 1, *(new / old for new, old in zip(after, before, strict=True))])
    nodes.add("Resize", "rows", "", scales, output="result", **WAYS[interpolation])
    return row_graph(nodes, TensorProto.FLOAT, [2, *before], {"result": ["N", 2, "h", "w"]})


@pytest.mark.parametrize("interpolation", WAYS)
@settings(max_examples=60)
@given(sizes=st.tuples(*[st.integers(3, 60)] * 4))
def test_pixels_are_those_of_keras(interpolation: str, sizes: tuple[int, int, int, int]) -> None:
    before, after = sizes[:2], sizes[2:]
    graph = resizing(interpolation, before, after)
    settle_resizes(Rewriter(graph))
    onnx.checker.check_model(graph, full_check=True)
    rows = np.random.default_rng(0).random((2, 2, *before), np.float32)
    expected = keras.ops.image.resize(rows, after, interpolation=interpolation, data_format="channels_first")
    np.testing.assert_allclose(run(graph, rows)[0], expected, atol=1e-4)
    assert run(graph, rows[:0])[0].shape == (0, 2, *after)


def test_whole_factors_stay() -> None:
    graph = resizing("nearest", (4, 5), (8, 15))
    before = graph.SerializeToString()
    settle_resizes(Rewriter(graph))
    assert graph.SerializeToString() == before
