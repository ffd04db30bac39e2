"""Graphs that ONNX Runtime can run in its blocked layout: the same answers, and no way around on the CPU."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from exporter.blocked import name_rows, spread_gates
from exporter.nodes import Nodes
from tests.graphs import row_graph, run

CHANNELS, SIZE, FRAMES = 32, 6, 2
PHOTOS: list[int | str] = ["N", 3, SIZE, SIZE]
CLIPS: list[int | str] = ["N", FRAMES, 3, SIZE, SIZE]


class Network:
    """rows → what a test puts together → result."""

    def __init__(self, shape: list[int | str]) -> None:
        self.nodes = Nodes("")
        self._shape = shape
        self._random = np.random.default_rng(0)
        self.maps = "rows"
        if shape == CLIPS:
            # Its rows have no symbol: nothing tells that there are FRAMES for each clip.
            sizes = self.nodes.constant([-1, 3, SIZE, SIZE], np.int64)
            self.maps = self.nodes.add("Reshape", "rows", sizes)

    def conv(self, tensor: str, inputs: int = CHANNELS, size: int = 1) -> str:
        weights = self.nodes.constant(self._random.normal(0, 0.3, (CHANNELS, inputs, size, size)))
        return self.nodes.add("Conv", tensor, weights, pads=[size // 2] * 4)

    def features(self) -> str:
        return self.nodes.add("Relu", self.conv(self.maps, 3, 3))

    def finish(self, tensor: str) -> onnx.ModelProto:
        self.nodes.add("ReduceMean", tensor, output="result", axes=[2, 3], keepdims=0)
        return row_graph(self.nodes, TensorProto.FLOAT, self._shape[1:], {"result": ["M", CHANNELS]})


def gated(
    shape: list[int | str] = PHOTOS, gate_first: bool = False, gate_size: int = 1, then: str = "Conv"
) -> onnx.ModelProto:
    """Features times gates made of them, and what comes after."""
    network = Network(shape)
    features = network.features()
    pooled = features if gate_size == SIZE else network.nodes.add("GlobalAveragePool", features)
    gates = network.nodes.add("Sigmoid", network.conv(pooled))
    product = network.nodes.add("Mul", *((gates, features) if gate_first else (features, gates)))
    return network.finish(network.conv(product) if then == "Conv" else network.nodes.add(then, product))


def residual(shape: list[int | str] = CLIPS) -> onnx.ModelProto:
    """The sum of two convolutions, before one of which the blocked layout is left."""
    network = Network(shape)
    features = network.features()
    sine = network.nodes.add("Sin", features)
    return network.finish(network.nodes.add("Add", network.conv(sine), network.conv(features)))


def named(graph: onnx.ModelProto) -> onnx.ModelProto:
    copy = deepcopy(graph)
    name_rows(copy)
    return copy


def rows(shape: list[int | str], count: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((count, *shape[1:]), np.float32)  # type: ignore[arg-type]


def check_same(before: onnx.ModelProto, after: onnx.ModelProto, shape: list[int | str]) -> None:
    onnx.checker.check_model(after, full_check=True)
    inputs = rows(shape, 4)
    np.testing.assert_allclose(run(after, inputs)[0], run(before, inputs)[0], rtol=1e-5, atol=1e-6)
    assert len(run(after, rows(shape, 0))[0]) == 0


@pytest.fixture
def optimised(tmp_path: Path) -> Callable[[onnx.ModelProto], Counter[str]]:
    """Counts the operators that ONNX Runtime runs a graph with on this processor."""
    file = tmp_path / "optimised.onnx"

    def operators(graph: onnx.ModelProto) -> Counter[str]:
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(file)
        onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(file).graph.node)

    if not any(name.startswith("Reorder") for name in operators(gated())):
        pytest.skip("on this processor ONNX Runtime has one layout only")
    return operators


@pytest.mark.parametrize("gate_first", [False, True])
@pytest.mark.parametrize("shape", [PHOTOS, CLIPS])
def test_gates_are_multiplied_in_the_layout_of_convolutions(
    shape: list[int | str], gate_first: bool, optimised: Callable[[onnx.ModelProto], Counter[str]]
) -> None:
    before = gated(shape, gate_first)
    after = spread_gates(named(before))
    check_same(before, after, shape)
    assert optimised(before)["ReorderInput"] == 1
    operators = optimised(after)
    # Only what leaves the last convolution is put back.
    assert (operators["ReorderInput"], operators["ReorderOutput"]) == (0, 1)


def test_sums_of_frames_are_merged_into_a_convolution(
    optimised: Callable[[onnx.ModelProto], Counter[str]],
) -> None:
    before = residual()
    after = named(before)
    check_same(before, after, CLIPS)
    assert optimised(before)["Add"] == 1
    operators = optimised(after)
    assert (operators["Add"], operators["Reshape"]) == (0, 1)


def test_rows_that_have_a_name_keep_it() -> None:
    for graph in (residual(PHOTOS), gated(PHOTOS)):
        assert named(graph) == graph


def test_the_graph_that_is_given_is_left_as_it_was() -> None:
    graph = gated()
    copy = graph.SerializeToString()
    spread_gates(graph)
    assert graph.SerializeToString() == copy


@pytest.mark.parametrize("graph", [gated(then="Relu"), gated(gate_size=SIZE)], ids=["no Conv", "one size"])
def test_other_products_stay(graph: onnx.ModelProto) -> None:
    assert spread_gates(graph) == graph


def test_constant_gates_stay() -> None:
    graph = gated()
    (product,) = [node for node in graph.graph.node if node.op_type == "Mul"]
    scale = np.full((1, CHANNELS, 1, 1), 0.5, np.float32)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(scale, "scale"))
    product.input[1] = "scale"
    assert spread_gates(graph) == graph
