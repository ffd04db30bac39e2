from itertools import pairwise

import numpy as np
import pytest
from onnx import helper, numpy_helper

from exporter.layers import Parts
from tests.exporter.branches import audio_branch, image_branch


def test_the_ends_of_a_picture_branch_keep_their_digits() -> None:
    branch = Parts(image_branch())
    assert branch.layers == ["inner_0", "inner_1", "inner_2", "inner_3"]
    assert {branch.nodes[name].op_type for name in branch.front} == {"Transpose", "Cast", "Mul", "Conv"}
    assert {"last", "heatmap", "logit"} <= branch.head
    assert "sum_1" not in branch.front | branch.head


def test_the_mel_front_end_keeps_its_digits() -> None:
    branch = Parts(audio_branch())
    assert branch.layers == ["mixed", "inner"]
    assert {"spectrum", "rows"} & {node.output[0] for node in branch.nodes.values()} <= branch.front
    assert {branch.nodes[name].op_type for name in branch.front} == {"Reshape", "MatMul", "Mul", "Add", "Log"}


def test_a_logarithm_at_the_end_is_no_front_end() -> None:
    graph = image_branch()
    (logit,) = (node for node in graph.graph.node if node.output[0] == "logit")
    logit.output[0] = "pooled"
    graph.graph.node.append(helper.make_node("Log", ["pooled"], ["logit"], name="logarithm"))
    branch = Parts(graph)
    assert branch.layers == ["inner_0", "inner_1", "inner_2", "inner_3"]
    assert "logarithm" in branch.head


@pytest.mark.timeout(20)
def test_many_ways_through_the_head_are_gone_once() -> None:
    graph = image_branch()
    (logit,) = (node for node in graph.graph.node if node.output[0] == "logit")
    logit.output[0] = "doubled_0"
    steps = [f"doubled_{step}" for step in range(40)] + ["logit"]
    for before, after in pairwise(steps):
        graph.graph.node.append(helper.make_node("Add", [before, before], [after], name=f"to_{after}"))
    assert Parts(graph).layers == ["inner_0", "inner_1", "inner_2", "inner_3"]


def test_sums_with_one_number_keep_their_digits() -> None:
    graph = image_branch()
    number = numpy_helper.from_array(np.full((1,), 0.05, np.float32), "number")
    graph.graph.initializer.append(number)
    for name, operator in (("sum_1", "Add"), ("relu_0", "Mul")):
        (node,) = (node for node in graph.graph.node if node.name == name)
        node.op_type = operator
        node.input[:] = [node.input[0], "number"]
    assert Parts(graph).between(["Relu", "Add", "Mul"]) == ["sum_0", "relu_1"]


def test_what_stands_between_layers() -> None:
    branch = Parts(image_branch())
    assert branch.between(["Relu", "Add"]) == ["relu_0", "sum_0", "relu_1"]
    assert not branch.between(["Mul"])
