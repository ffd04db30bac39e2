"""Every branch after cleaning: the same answers from default-settings ONNX Runtime, and lean."""

from dataclasses import replace
from pathlib import Path

import pytest

from exporter.blocked import spread_gates
from tests.exporter import keras_models
from tests.exporter.cases import Case, check_answers, check_zero_rows, make_case


@pytest.fixture(scope="module", params=["image", "video", "audio"])
def small(request: pytest.FixtureRequest, keras_files: dict[str, Path]) -> Case:
    return make_case(keras_files[request.param], request.param)


@pytest.fixture(
    scope="module", params=[("EfficientNetB0", 224), ("ResNet50V2", 256)], ids=lambda item: item[0]
)
def application(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, size = request.param
    path = tmp_path_factory.mktemp("applications") / f"{name}.keras"
    keras_models.seeded()
    keras_models.randomise(keras_models.application_model(name, size)).save(path)
    return make_case(path, "image")


def test_small_models_keep_their_answers(small: Case) -> None:
    check_answers(small)


def test_small_models_take_zero_rows(small: Case) -> None:
    check_zero_rows(small)


def test_small_models_are_lean(small: Case) -> None:
    operators = small.operators()
    assert operators["BatchNormalization"] == 0
    assert len(small.branch.graph.node) <= len(small.raw.graph.node)
    assert not small.branch.graph.value_info
    if small.modality != "audio":  # the spectrogram has two of its own
        (transpose,) = (node for node in small.branch.graph.node if node.op_type == "Transpose")
        assert transpose.input[0] == "rows", "frames are to be transposed as bytes, nothing else at all"


def test_applications_keep_their_answers(application: Case) -> None:
    check_answers(application)


def test_applications_take_zero_rows(application: Case) -> None:
    check_zero_rows(application)


def test_applications_are_lean(application: Case) -> None:
    first = [node.op_type for node in application.branch.graph.node[:4]]
    assert first == ["Transpose", "Cast", "Add", "Conv"]
    operators = application.operators()
    assert operators["Transpose"] == 1
    assert operators["BatchNormalization"] == operators["Pad"] == 0


def test_gates_of_applications_are_spread(application: Case) -> None:
    spread = replace(application, branch=spread_gates(application.branch))
    # One for each block of EfficientNetB0; ResNet50V2 has no gates.
    assert spread.operators()["Resize"] == (16 if application.operators()["Sigmoid"] else 0)
    check_answers(spread)
    check_zero_rows(spread)


def test_every_node_of_small_models_has_a_name_of_its_own(small: Case) -> None:
    check_names(small)


def test_every_node_of_applications_has_a_name_of_its_own(application: Case) -> None:
    check_names(application)


def check_names(case: Case) -> None:
    names = [node.name for node in case.branch.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_no_padding_feeds_a_maximum(small: Case) -> None:
    # ONNX Runtime up to 1.31 fuses such a pair wrongly; later ones answer right either way.
    makers = {node.output[0]: node.op_type for node in small.branch.graph.node}
    pools = [node for node in small.branch.graph.node if node.op_type == "MaxPool"]
    assert bool(pools) == (small.modality == "image")
    assert all(makers[pool.input[0]] != "Pad" for pool in pools)


def test_every_branch_has_one_batch_symbol(small: Case) -> None:
    values = (*small.branch.graph.input, *small.branch.graph.output)
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in values} == {"N"}
