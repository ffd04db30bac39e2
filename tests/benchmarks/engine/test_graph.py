from pathlib import Path

import onnx
import pytest

from benchmarks.engine import graph
from exporter.nodes import Nodes
from tests.graphs import row_graph
from tests.tiny_graph import LOGIT_RANGE, tiny_detector


def raw_graph(path: Path, bias: float) -> Path:
    """What `tiny_detector` computes of a picture, with the interface of a raw conversion."""
    nodes = Nodes("raw/")
    pixels = nodes.add("Cast", "rows", to=onnx.TensorProto.FLOAT)
    mean = nodes.add("ReduceMean", pixels, axes=[1, 2, 3], keepdims=0)
    scaled = nodes.add("Mul", mean, nodes.constant(2 * LOGIT_RANGE / 255))
    nodes.add("Add", scaled, nodes.constant(bias - LOGIT_RANGE), output="logit")
    onnx.save(row_graph(nodes, onnx.TensorProto.UINT8, [32, 32, 3], {"logit": ["N"]}), path)
    return path


def test_both_graphs_are_timed_and_loaded(tmp_path: Path) -> None:
    model = tiny_detector(tmp_path, modalities=("image",))
    compared = graph.compare(raw_graph(tmp_path / "raw.onnx", 0.0), model, rounds=3)
    assert len(compared.raw) == len(compared.ours) == len(compared.empty) == 3
    assert len(compared.raw_load) == len(compared.ours_load) == 1
    assert len(graph.table(compared).rows) == 3


def test_graphs_that_answer_differently_are_not_compared(tmp_path: Path) -> None:
    model = tiny_detector(tmp_path, modalities=("image",))
    with pytest.raises(RuntimeError, match="differ"):
        graph.compare(raw_graph(tmp_path / "raw.onnx", 1.0), model, rounds=1)
