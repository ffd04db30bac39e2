from pathlib import Path

import onnx
import pytest
from onnx import helper

from server.engine.selftest import self_test
from server.engine.session import Session
from server.errors import InvalidModel
from tests.graphs import spoiled
from tests.tiny_graph import tiny_detector


@pytest.mark.parametrize(
    "modalities", [("image", "video", "audio"), ("image",), ("video", "audio"), ("audio",)]
)
def test_a_good_graph_passes(tmp_path: Path, modalities: tuple[str, ...]) -> None:
    self_test(Session(tiny_detector(tmp_path, modalities), "cpu"))


@pytest.mark.parametrize(
    ("output", "operation", "constants", "problem"),
    [
        ("audio_probability", "Mul", [float("nan")], "rows of audio: audio_probability"),
        ("clip_probability", "Add", [1.5], "rows of video: clip_probability"),
        ("image_heatmap", "Sub", [2.0], "image_heatmap"),
        ("image_probability", "Sum", [0.0, float("inf")], "image_probability"),
        ("modality_present", "Not", [], "modality_present"),
        ("fake_probability", "Mul", [0.5], "fake_probability"),
        ("modality_probability", "ReduceMax", [], "cannot be run"),
    ],
)
def test_a_bad_one_is_told_by_its_answers(
    tmp_path: Path, output: str, operation: str, constants: list[float], problem: str
) -> None:
    graph = spoiled(tiny_detector(tmp_path), output, operation, *constants)
    with pytest.raises(InvalidModel, match=problem):
        self_test(Session(graph, "cpu"))


def test_nothing_may_be_found_where_there_is_nothing(tmp_path: Path) -> None:
    graph = spoiled(tiny_detector(tmp_path), "fake_probability", "Max", 0.3)
    with pytest.raises(InvalidModel, match="rows of nothing"):
        self_test(Session(graph, "cpu"))


def test_a_score_may_not_depend_on_other_requests(tmp_path: Path) -> None:
    graph = tiny_detector(tmp_path)
    model = onnx.load(graph)
    (node,) = (node for node in model.graph.node if "modality_probability" in node.output)
    node.output[list(node.output).index("modality_probability")] = "own"
    model.graph.node.extend(
        [
            helper.make_node("ReduceMean", ["own"], ["mean"], axes=[0], keepdims=1),
            helper.make_node("Mul", ["own", "mean"], ["modality_probability"]),
        ]
    )
    onnx.save(model, graph)
    with pytest.raises(InvalidModel, match="self-test"):
        self_test(Session(graph, "cpu"))


def test_what_onnx_runtime_says_of_a_failed_run_is_in_the_exception_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = spoiled(tiny_detector(tmp_path), "image_probability", "Add", 7 * [0.0])
    with pytest.raises(InvalidModel, match="broadcast"):
        self_test(Session(graph, "cpu"))
    assert capfd.readouterr().err == ""
