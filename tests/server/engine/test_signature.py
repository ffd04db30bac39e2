from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from server.engine.session import Session
from server.engine.signature import TensorSpec, inputs_of, outputs_of
from tests.tiny_graph import tiny_detector


@pytest.mark.parametrize("modalities", [("image",), ("video",), ("audio",), ("image", "video", "audio")])
def test_what_is_said_of_the_tensors_is_what_the_graph_has(tmp_path: Path, modalities: list[str]) -> None:
    graph = tiny_detector(tmp_path, modalities)
    bare, manifest = ort.InferenceSession(graph), Session(graph, "cpu").manifest
    assert inputs_of(manifest) == [described(argument) for argument in bare.get_inputs()]
    assert outputs_of(manifest) == [described(argument) for argument in bare.get_outputs()]


def described(argument: Any) -> TensorSpec:
    types: dict[str, type[np.generic]] = {
        "tensor(uint8)": np.uint8,
        "tensor(int64)": np.int64,
        "tensor(float)": np.float32,
        "tensor(bool)": np.bool_,
    }
    return TensorSpec(argument.name, types[argument.type], tuple(argument.shape))
