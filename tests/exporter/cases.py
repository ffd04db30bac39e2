"""Keras models beside the branches that the exporter makes of them, and what has to hold for every one."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from scipy.special import expit

from exporter.clean import clean
from exporter.export import Exported, export
from exporter.graph import OUTPUTS
from exporter.keras_to_onnx import convert, load_model
from server.engine.manifest import FusionWeights, Thresholds
from tests.exporter import keras_models


@dataclass(frozen=True)
class Case:
    """A Keras model, and its cleaned branch."""

    modality: str
    model: Any
    raw: onnx.ModelProto
    branch: onnx.ModelProto

    @property
    def session(self) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self.branch.SerializeToString())

    def rows(self, count: int) -> NDArray[np.generic]:
        return keras_models.varied_rows(self.model, count, seed=1)

    def operators(self) -> Counter[str]:
        return Counter(node.op_type for node in self.branch.graph.node)


def make_case(path: Path, modality: str) -> Case:
    model = load_model(path, modality)
    raw = convert(model, modality, path)
    return Case(modality, model, raw, clean(raw))


def run_export(folder: Path, **changes: Any) -> Exported:
    """Exports the models of a folder to its subfolder `out`, as the command does unless keywords say else."""
    usual: dict[str, Any] = {"version": None, "max_change": 0.01}
    usual |= {"fusion_weights": FusionWeights(), "thresholds": Thresholds()}
    return export(folder, folder / "out", "detector", **(usual | changes))


def check_answers(case: Case) -> None:
    """With three rows at once, and the first of them alone."""
    rows = case.rows(3)
    expected = case.model(rows)
    answers, alone = (case.session.run(None, {"rows": part}) for part in (rows, rows[:1]))
    for name, answer, first in zip(OUTPUTS[case.modality], answers, alone, strict=True):
        reference = np.asarray(expected[name])
        assert reference.std() > 1e-2, "this model cannot tell a right graph from a wrong one"
        tolerance = 1e-5 if name == "logit" else 1e-4
        np.testing.assert_allclose(expit(answer), expit(reference), rtol=0, atol=tolerance)
        np.testing.assert_allclose(expit(first), expit(reference[:1]), rtol=0, atol=tolerance)


def check_zero_rows(case: Case) -> None:
    for answer in case.session.run(None, {"rows": case.rows(0)}):
        assert len(answer) == 0
