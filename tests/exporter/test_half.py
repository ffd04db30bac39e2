import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from exporter.half import halve
from exporter.parity import open_graph
from tests.exporter.branches import BRANCHES, image_branch, logits, rows_of

ROWS = {modality: rows_of(modality, 8) for modality in BRANCHES}


@pytest.fixture(scope="module", params=BRANCHES)
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def half(modality: str) -> onnx.ModelProto:
    return halve(BRANCHES[modality](), ROWS[modality])


def computed_in(branch: onnx.ModelProto, name: str) -> int:
    """The type of the tensor that a node makes."""
    inferred = onnx.shape_inference.infer_shapes(branch, strict_mode=True).graph
    (node,) = (node for node in branch.graph.node if node.name == name)
    values = (*inferred.value_info, *inferred.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types[node.output[0]]


def test_the_inside_is_half_as_wide_and_the_ends_are_not(half: onnx.ModelProto, modality: str) -> None:
    onnx.checker.check_model(half, full_check=True)
    wide = {"image": ["first", "last"], "audio": ["spectrum", "last"]}[modality]
    narrow = {"image": ["inner_0", "inner_3", "sum_0"], "audio": ["mixed", "inner"]}[modality]
    assert {computed_in(half, name) for name in wide} == {TensorProto.FLOAT}
    assert {computed_in(half, name) for name in narrow} == {TensorProto.FLOAT16}


def test_nothing_passes_through_half_between_two_nodes_in_float(half: onnx.ModelProto) -> None:
    casts = {node.output[0]: node for node in half.graph.node if node.op_type == "Cast"}
    for node in casts.values():
        source = casts.get(node.input[0])
        targets = [cast.attribute[0].i for cast in (source, node) if cast]
        assert targets != [TensorProto.FLOAT16, TensorProto.FLOAT]


def test_inputs_outputs_and_answers_stay(half: onnx.ModelProto, modality: str) -> None:
    sessions = [open_graph(branch.SerializeToString()) for branch in (BRANCHES[modality](), half)]
    before, after = ([(v.name, v.type) for v in (*s.get_inputs(), *s.get_outputs())] for s in sessions)
    assert before == after
    expected, got = (logits(branch, ROWS[modality]) for branch in (BRANCHES[modality](), half))
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=0.02)
    assert logits(half, ROWS[modality][:0]).shape == (0,)


def test_numbers_that_are_too_large_stay_in_float() -> None:
    branch = image_branch()
    (weights,) = (node.input[1] for node in branch.graph.node if node.name == "inner_0")
    (tensor,) = (tensor for tensor in branch.graph.initializer if tensor.name == weights)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1e6), weights))
    half = halve(branch, ROWS["image"])
    assert computed_in(half, "inner_0") == TensorProto.FLOAT
    expected, got = (logits(model, ROWS["image"]) for model in (branch, half))
    np.testing.assert_allclose(got, expected, rtol=0.02)
