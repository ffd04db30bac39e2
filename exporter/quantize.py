"""int8: a backbone's layers in bytes, with ranges from real rows, and without the layers that suffer.

Static QDQ of ONNX Runtime: activations in uint8, weights in int8 per channel (Jacob et al., 2018). Weights
take 7 bits, as the dot products of processors without VNNI overflow in 16 bits with 8.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QDQQuantizer,
    QuantType,
    create_calibrator,
)
from onnxruntime.quantization.calibrate import TensorsData

from exporter.bodies import enclose, expose
from exporter.layers import LAYERS, Parts
from exporter.rewrite import forget_shapes
from server.errors import InvalidModel

Rows = NDArray[np.generic]
Probability = Callable[[NDArray[np.float32]], NDArray[np.float64]]

# Left in float32 they would cost the time that the layers on both sides gain.
_BETWEEN = ("Relu", "Clip", "Add", "Mul", "MaxPool")
# Calibration rows may change half as much as files: other files exceed the ranges, and all rows of a file err
# the same way.
_SHARE_OF_ROWS = 0.5
_ROWS_AT_ONCE = 8
_RANKING_ROWS = 16


@dataclass(frozen=True, slots=True)
class Quantized:
    """A branch in int8.

    Attributes:
        float_layers: names of the layers and of the nodes between them that stayed in float32, because
            they changed the answers most.
    """

    branch: onnx.ModelProto
    float_layers: tuple[str, ...]


def quantize(branch: onnx.ModelProto, rows: Rows, probability: Probability, max_change: float) -> Quantized:
    """Quantises as much of the backbone as leaves its answers close enough.

    Args:
        branch: as `exporter.clean.clean` made it.
        rows: [N, ...] to calibrate and to compare on.
        probability: of logits, both [N].
        max_change: the largest mean change of a file's probability.

    Raises:
        InvalidModel: not even half of the layers can be quantised.
    """
    ranges = activation_ranges(branch, rows)
    expected = probability(_logits(branch, rows))

    def change(names: Sequence[str], count: int | None = None) -> float:
        answers = probability(_logits(_quantized(branch, ranges, names), rows[:count]))
        return float(np.abs(answers - expected[:count]).mean())

    parts = Parts(branch)
    names = [*parts.layers, *parts.between(_BETWEEN)]
    left_out: list[str] = []
    limit = _SHARE_OF_ROWS * max_change
    if names and not change(names) <= limit:
        left_out = _worst(names, change, limit)
    kept = [name for name in names if name not in left_out]
    return Quantized(_quantized(branch, ranges, kept), tuple(left_out))


def _worst(
    names: Sequence[str], change: Callable[[Sequence[str], int | None], float], limit: float
) -> list[str]:
    """The most harmful names, as few as must be left out for the rest to stay within the limit."""
    worst_first = sorted(names, key=lambda name: change([name], _RANKING_ROWS), reverse=True)
    for count in _steps(len(names) // 2):
        if change(worst_first[count:], None) <= limit:
            return worst_first[:count]
    raise InvalidModel(
        f"in int8 the answers to rows change by more than {limit:g} on average, half of --max-change, with "
        "half of the layers left out too",
        "Export without int8, calibrate on more and other media, or allow more with --max-change.",
    )


def _steps(end: int) -> Iterator[int]:
    """1, 2, 3, 4, 5, 6, 8, 10, 13, … up to `end`: about a third more each time."""
    count = 1
    while count <= end:
        yield count
        count += max(1, count // 3)


def activation_ranges(branch: onnx.ModelProto, rows: Rows) -> TensorsData:
    """The smallest and largest value of every activation, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        # The calibrator reads and writes files only.
        plain, augmented = Path(folder, "branch.onnx"), Path(folder, "augmented.onnx")
        onnx.save(branch, plain)
        calibrator = create_calibrator(plain, augmented_model_path=str(augmented))
        calibrator.collect_data(_Reader(rows))
        return calibrator.compute_data()


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, rows: Rows) -> None:
        self._parts = iter(_in_parts(rows))

    def get_next(self) -> dict[str, Rows] | None:
        part = next(self._parts, None)
        return None if part is None else {"rows": part}


def _quantized(branch: onnx.ModelProto, ranges: TensorsData, names: Sequence[str]) -> onnx.ModelProto:
    others = [node.name for node in branch.graph.node if node.name not in names]
    quantizer = QDQQuantizer(
        onnx.shape_inference.infer_shapes(branch),
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=[],
        nodes_to_exclude=others,
        op_types_to_quantize=[*LAYERS, *_BETWEEN],
        extra_options={},
        per_channel=True,
        reduce_range=True,
    )
    captures = expose(quantizer.model.graph())
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    model: onnx.ModelProto = quantizer.model.model
    enclose(model.graph, captures)
    forget_shapes(model)
    return model


def _logits(branch: onnx.ModelProto, rows: Rows) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(branch.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(["logit"], {"rows": part})[0] for part in _in_parts(rows)])


def _in_parts(rows: Rows) -> list[Rows]:
    return [rows[start : start + _ROWS_AT_ONCE] for start in range(0, len(rows), _ROWS_AT_ONCE)]
