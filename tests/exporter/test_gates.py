"""Gates of squeeze-and-excitation: the same answers, and no change of layout around them on the CPU."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from exporter.gates import spread_gates
from exporter.graph import IR_VERSION, OPSET
from exporter.nodes import Nodes

CHANNELS, SIZE = 32, 6


def gated(
    gate_first: bool = False, frames: bool = False, then: str = "Conv", gate_size: int = 1
) -> onnx.ModelProto:
    """rows → Conv → times its own gates → `then` → result.

    Args:
        gate_first: the order of the product.
        frames: whether rows are frames of clips, of which no symbol tells how many there are.
        gate_size: of the gates in pixels.
    """
    random = np.random.default_rng(0)
    nodes = Nodes("")

    def conv(tensor: str, inputs: int, size: int = 1) -> str:
        weights = nodes.constant(random.normal(0, 0.3, (CHANNELS, inputs, size, size)))
        return nodes.add("Conv", tensor, weights, pads=[size // 2] * 4)

    rows = "rows"
    if frames:
        rows = nodes.add("Reshape", rows, nodes.constant([-1, 3, SIZE, SIZE], np.int64))
    features = nodes.add("Relu", conv(rows, 3, 3))
    pooled = nodes.add("GlobalAveragePool", features)
    if gate_size == SIZE:
        pooled = features
    gates = nodes.add("Sigmoid", conv(pooled, CHANNELS))
    product = nodes.add("Mul", *((gates, features) if gate_first else (features, gates)))
    after = conv(product, CHANNELS) if then == "Conv" else nodes.add(then, product)
    nodes.add("ReduceMean", after, output="result", axes=[2, 3], keepdims=0)
    shape: list[str | int] = ["N", 2, 3, SIZE, SIZE] if frames else ["N", 3, SIZE, SIZE]
    graph = helper.make_graph(
        nodes.nodes,
        "graph",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["M", CHANNELS])],
        nodes.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def run(graph: onnx.ModelProto, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"rows": rows})[0])


def layout_changes(graph: onnx.ModelProto, folder: Path) -> Counter[str]:
    """Of the graph as ONNX Runtime runs it on this processor."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(folder / "optimised.onnx").graph
    return Counter(node.op_type for node in optimised.node if node.op_type.startswith("Reorder"))


@pytest.mark.parametrize("gate_first", [False, True])
@pytest.mark.parametrize("frames", [False, True])
def test_gates_are_multiplied_in_the_layout_of_convolutions(
    gate_first: bool, frames: bool, tmp_path: Path
) -> None:
    before = gated(gate_first, frames)
    after = spread_gates(before)
    onnx.checker.check_model(after, full_check=True)
    shape = (4, 2, 3, SIZE, SIZE) if frames else (4, 3, SIZE, SIZE)
    rows = np.random.default_rng(1).random(shape, np.float32)
    np.testing.assert_array_equal(run(after, rows), run(before, rows))
    assert len(run(after, rows[:0])) == 0
    if not layout_changes(before, tmp_path):
        pytest.skip("on this processor ONNX Runtime has one layout only")
    # Where the rows come in there is nothing to change, and once where the result goes out.
    assert layout_changes(after, tmp_path) == {"ReorderOutput": 1}


def test_a_branch_is_left_as_it_was() -> None:
    before = gated()
    copy = before.SerializeToString()
    spread_gates(before)
    assert before.SerializeToString() == copy


@pytest.mark.parametrize("other", [{"then": "Relu"}, {"gate_size": SIZE}])
def test_other_products_stay(other: dict[str, str | int]) -> None:
    graph = gated(**other)  # type: ignore[arg-type]
    assert spread_gates(graph) == graph


def test_constant_gates_stay() -> None:
    graph = gated()
    (product,) = [node for node in graph.graph.node if node.op_type == "Mul"]
    scale = np.full((1, CHANNELS, 1, 1), 0.5, np.float32)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(scale, "scale"))
    product.input[1] = "scale"
    assert spread_gates(graph) == graph
