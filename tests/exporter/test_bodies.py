"""Graphs inside of graphs: what a Loop reads around itself is neither lost nor renamed alone."""

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy.special import expit

from exporter.bodies import add_prefix, bodies, captured, enclose, expose, reads, redirect
from exporter.half import halve
from exporter.layers import Parts
from exporter.nodes import Nodes
from exporter.quantize import quantize
from exporter.rewrite import Rewriter
from tests.graphs import row_graph

UNITS, STEPS = 8, 3


def state_after_steps(matrix: str, addend: str) -> onnx.NodeProto:
    """Of zeros: state → tanh(state · matrix + addend), where the two are of the graph around."""
    nodes = Nodes("body/")
    product = nodes.add("MatMul", "state", matrix)
    nodes.add("Tanh", nodes.add("Add", product, addend), output="next")
    nodes.add("Identity", "going", output="goes_on")
    state = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("state", "next")]
    going = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("going", "goes_on")]
    step = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    body = helper.make_graph(nodes.nodes, "body", [step, going[0], state[0]], [going[1], state[1]])
    return helper.make_node("Loop", ["steps", "", "zeros"], ["looped"], name="loop", body=body)


def recurrent() -> onnx.ModelProto:
    """rows → first → inner → a Loop, which captures inner and weights of a layer → after → last → logit."""
    nodes, random = Nodes(""), np.random.default_rng(0)
    weights = [nodes.constant(random.normal(0, 0.3, (UNITS, UNITS))) for _ in range(3)]
    x = nodes.add("Relu", nodes.add("MatMul", "rows", weights[0], output="first"))
    x = nodes.add("MatMul", x, weights[1], output="inner")
    nodes.add("Mul", x, nodes.constant(0.0), output="zeros")
    nodes.constants.append(helper.make_tensor("steps", TensorProto.INT64, [], [STEPS]))
    nodes.nodes.append(state_after_steps(weights[1], "inner"))
    x = nodes.add("Relu", nodes.add("MatMul", "looped", weights[2], output="after"))
    last = nodes.add("MatMul", x, nodes.constant(random.normal(0, 0.3, (UNITS, 1))), output="last")
    nodes.add("Reshape", last, nodes.constant([-1], np.int64), output="logit")
    return row_graph(nodes, TensorProto.FLOAT, [UNITS], {"logit": ["N"]})


@pytest.fixture
def model() -> onnx.ModelProto:
    return recurrent()


def loop_of(model: onnx.ModelProto) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == "Loop")


def rows(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(count, UNITS)).astype(np.float32)


def run(model: onnx.ModelProto, inputs: NDArray[np.float32], prefix: str = "") -> NDArray[np.float32]:
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([f"{prefix}logit"], {f"{prefix}rows": inputs})[0])


def changed(model: onnx.ModelProto, change: Callable[[Rewriter], None]) -> onnx.ModelProto:
    copy = deepcopy(model)
    change(Rewriter(copy))
    return copy


def test_bodies_read_what_they_do_not_make(model: onnx.ModelProto) -> None:
    loop = loop_of(model)
    assert captured(loop) == ["constant_1", "inner"]
    assert reads(loop) == ["steps", "", "zeros", "constant_1", "inner"]


def test_names_of_a_body_are_its_own(model: onnx.ModelProto) -> None:
    loop = loop_of(model)
    redirect(loop, {"inner": "other", "state": "wrong", "going": "wrong", "zeros": "ones"})
    (body,) = bodies(loop)
    assert reads(loop) == ["steps", "", "ones", "constant_1", "other"]
    assert list(body.node[0].input) == ["state", "constant_1"]


def test_what_only_a_body_reads_is_used(model: onnx.ModelProto) -> None:
    expected = run(model, rows(3))
    constant = helper.make_node("Identity", ["first"], ["captured"], name="captured")
    model.graph.node.insert(1, constant)
    redirect(loop_of(model), {"inner": "captured"})
    with_capture = run(model, rows(3))
    assert not np.allclose(with_capture, expected)
    np.testing.assert_array_equal(run(changed(model, Rewriter.drop_unused), rows(3)), with_capture)


def test_identities_are_dropped_around_bodies(model: onnx.ModelProto) -> None:
    expected = run(model, rows(3))
    place = [node.name for node in model.graph.node].index("inner") + 1
    model.graph.node.insert(place, helper.make_node("Identity", ["inner"], ["same"], name="same"))
    redirect(loop_of(model), {"inner": "same"})
    after = changed(model, Rewriter.drop_identities)
    assert captured(loop_of(after)) == ["constant_1", "inner"]
    np.testing.assert_array_equal(run(after, rows(3)), expected)


def test_twins_are_merged_around_bodies(model: onnx.ModelProto) -> None:
    expected = run(model, rows(3))
    place = [node.name for node in model.graph.node].index("inner") + 1
    twin = onnx.NodeProto()
    twin.CopyFrom(model.graph.node[place - 1])
    twin.output[0] = twin.name = "twin"
    model.graph.node.insert(place, twin)
    redirect(loop_of(model), {"inner": "twin"})
    after = changed(model, Rewriter.merge_twins)
    assert len(after.graph.node) == len(model.graph.node) - 1
    np.testing.assert_array_equal(run(after, rows(3)), expected)


def test_a_body_is_a_consumer(model: onnx.ModelProto) -> None:
    rewriter = Rewriter(model)
    assert rewriter.only_consumer("inner") is None
    redirect(next(node for node in model.graph.node if "zeros" in node.output), {"inner": "first"})
    consumer = rewriter.only_consumer("inner")
    assert consumer is not None
    assert consumer.op_type == "Loop"


def test_new_names_are_in_no_body(model: onnx.ModelProto) -> None:
    (body,) = bodies(loop_of(model))
    body.node[0].output[0] = body.node[1].input[0] = "rows_1"
    assert Rewriter(model).unused_name("rows") == "rows_2"


def test_every_name_gets_the_prefix(model: onnx.ModelProto) -> None:
    expected = run(model, rows(3))
    add_prefix(model.graph, "video/")
    assert captured(loop_of(model)) == ["video/constant_1", "video/inner"]
    np.testing.assert_array_equal(run(model, rows(3), "video/"), expected)


def test_exposed_captures_are_enclosed_again(model: onnx.ModelProto) -> None:
    before = model.SerializeToString()
    captures = expose(model.graph)
    assert list(loop_of(model).input)[-2:] == ["constant_1", "inner"]
    enclose(model.graph, captures)
    assert model.SerializeToString() == before


def test_layers_above_a_body_are_above_it(model: onnx.ModelProto) -> None:
    assert Parts(model).layers == ["inner", "after"]


def test_bodies_stay_whole_in_other_precisions(model: onnx.ModelProto) -> None:
    expected = run(model, rows(16))
    quantized = quantize(model, rows(16), lambda logit: expit(logit.astype(float)), 0.02)
    half = halve(model, rows(16))
    operators = [node.op_type for node in quantized.branch.graph.node]
    assert "DequantizeLinear" in operators
    for graph, tolerance in ((half, 2e-3), (quantized.branch, 0.05)):
        np.testing.assert_allclose(run(graph, rows(16)), expected, atol=tolerance)
        assert len(run(graph, rows(0))) == 0
