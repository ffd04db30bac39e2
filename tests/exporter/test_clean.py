"""Every branch after cleaning: the same answers from default-settings ONNX Runtime, and lean."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.blocked import spread_gates
from tests.exporter import keras_models
from tests.exporter.cases import Case, check_answers, check_zero_rows, make_case

SMALL = ("image", "video", "audio")
APPLICATIONS = {"EfficientNetB0": 224, "ResNet50V2": 256}


@pytest.fixture(scope="module", params=[*SMALL, *APPLICATIONS])
def case(
    request: pytest.FixtureRequest, keras_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Case:
    name = request.param
    if name in SMALL:
        return make_case(keras_files[name], name)
    path = tmp_path_factory.mktemp("applications") / f"{name}.keras"
    keras_models.seeded()
    keras_models.randomise(keras_models.application_model(name, APPLICATIONS[name])).save(path)
    return make_case(path, "image")


of_small_models = pytest.mark.parametrize("case", SMALL, indirect=True)
of_applications = pytest.mark.parametrize("case", APPLICATIONS, indirect=True)


def test_answers_are_kept(case: Case) -> None:
    check_answers(case)


def test_zero_rows_are_taken(case: Case) -> None:
    check_zero_rows(case)


def test_every_node_has_a_name_of_its_own(case: Case) -> None:
    names = [node.name for node in case.branch.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


@of_small_models
def test_small_models_are_lean(case: Case) -> None:
    operators = case.operators()
    assert operators["BatchNormalization"] == 0
    assert len(case.branch.graph.node) <= len(case.raw.graph.node)
    assert not case.branch.graph.value_info
    if case.modality != "audio":  # the spectrogram has two of its own
        (transpose,) = (node for node in case.branch.graph.node if node.op_type == "Transpose")
        assert transpose.input[0] == "rows", "frames are to be transposed as bytes, nothing else at all"


@of_applications
def test_applications_are_lean(case: Case) -> None:
    first = [node.op_type for node in case.branch.graph.node[:4]]
    assert first == ["Transpose", "Cast", "Add", "Conv"]
    operators = case.operators()
    assert operators["Transpose"] == 1
    assert operators["BatchNormalization"] == operators["Pad"] == 0


@of_applications
def test_gates_of_applications_are_spread(case: Case) -> None:
    spread = replace(case, branch=spread_gates(case.branch))
    # One for each block of EfficientNetB0; ResNet50V2 has no gates.
    assert spread.operators()["Resize"] == (16 if case.operators()["Sigmoid"] else 0)
    check_answers(spread)
    check_zero_rows(spread)


@of_small_models
def test_no_padding_feeds_a_maximum(case: Case) -> None:
    # ONNX Runtime up to 1.31 fuses such a pair wrongly; later ones answer right either way.
    makers = {node.output[0]: node.op_type for node in case.branch.graph.node}
    pools = [node for node in case.branch.graph.node if node.op_type == "MaxPool"]
    assert bool(pools) == (case.modality == "image")
    assert all(makers[pool.input[0]] != "Pad" for pool in pools)


@of_small_models
def test_every_branch_has_one_batch_symbol(case: Case) -> None:
    values = (*case.branch.graph.input, *case.branch.graph.output)
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in values} == {"N"}
