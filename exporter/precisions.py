"""The same detector in other precisions, each compared with the one in float32."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import onnx

from exporter.errors import refused
from exporter.evidence import Evidence
from exporter.graph import build_detector, write_manifest
from exporter.half import halve
from exporter.parity import KerasModel, measure_parity, probability
from exporter.quantize import quantize
from exporter.samples import Samples
from exporter.trade import measure_change, measure_speed, pays
from server.engine.manifest import Manifest, Precision, Trade
from server.engine.processor import features
from server.errors import InvalidModel

# Parity is only measured for the card: the change on media decides.
_ANY_DIFFERENCE = 1.0


@dataclass(frozen=True, slots=True)
class Detector:
    """A finished graph, and the manifest that is inside it too."""

    graph: onnx.ModelProto
    manifest: Manifest


@dataclass(slots=True)
class _Converted:
    graph: onnx.ModelProto
    float_layers: dict[str, tuple[str, ...]] = field(default_factory=dict)


def in_precisions(
    precisions: Sequence[Precision],
    base: Detector,
    branches: Mapping[str, onnx.ModelProto],
    models: Mapping[str, KerasModel],
    samples: Sequence[Samples],
    evidence: Evidence,
    max_change: float,
    progress: Callable[[str], None],
) -> list[Detector]:
    """The detector in other precisions.

    Args:
        precisions: fp16, int8, or both.
        base: the detector in fp32.
        branches: that it was made of.
        models, samples: as of `exporter.parity.measure_parity`.
        evidence: what they are calibrated on and measured by.
        max_change: the largest mean change of a file's probability.
        progress: told each step.

    Raises:
        InvalidModel: a precision changes the answers by more than allowed.
    """
    converted: dict[Precision, _Converted] = {"fp32": _Converted(base.graph)}
    for precision in precisions:
        progress(f"converting to {precision}")
        with refused(f"the models cannot be converted to {precision}", f"Export without {precision}."):
            converted[precision] = _convert(precision, base.manifest, branches, evidence, max_change)
    progress("comparing the precisions")
    graphs = {precision: one.graph.SerializeToString() for precision, one in converted.items()}
    trades = _trades(graphs, base.manifest, evidence, converted, max_change)
    detectors = []
    for precision, trade in trades.items():
        manifest = base.manifest.model_copy(update={"precision": precision, "trade": trade})
        parity = measure_parity(graphs[precision], manifest, models, samples, _ANY_DIFFERENCE)
        manifest = manifest.model_copy(update={"parity": parity})
        write_manifest(converted[precision].graph, manifest)
        detectors.append(Detector(converted[precision].graph, manifest))
    return detectors


def _convert(
    precision: Precision,
    manifest: Manifest,
    branches: Mapping[str, onnx.ModelProto],
    evidence: Evidence,
    max_change: float,
) -> _Converted:
    parts, float_layers = {}, {}
    for modality, branch in branches.items():
        rows = evidence.calibration[modality]
        if precision == "fp16":
            parts[modality] = halve(branch, rows)
            continue
        judge = partial(probability, getattr(manifest, modality))
        quantized = quantize(branch, rows, judge, max_change)
        parts[modality] = quantized.branch
        float_layers[modality] = quantized.float_layers
    return _Converted(build_detector(manifest, parts), float_layers)


def _trades(
    graphs: Mapping[Precision, bytes],
    manifest: Manifest,
    evidence: Evidence,
    converted: Mapping[Precision, _Converted],
    max_change: float,
) -> dict[Precision, Trade]:
    seconds = measure_speed(graphs, manifest, evidence.calibration)
    before = seconds["fp32"]
    trades: dict[Precision, Trade] = {}
    for precision, change in measure_change(graphs, manifest, evidence.files).items():
        for modality, lost in change.items():
            if not lost.mean <= max_change:
                raise InvalidModel(
                    f"{precision} changes the probabilities of the {modality} model by {lost.mean:.2g} on "
                    f"average; {max_change:g} is allowed",
                    f"Export without {precision}, calibrate on more and other media, or allow more with "
                    "--max-change.",
                )
        after = seconds[precision]
        trades[precision] = Trade(
            measured_on=evidence.measured_on,
            calibrated_on=evidence.calibrated_on,
            float_layers=converted[precision].float_layers,
            change=change,
            speed_up={modality: before[modality] / after[modality] for modality in before},
            cpu=features(),
            pays_on_cpu=pays(change, sum(before.values()) / sum(after.values())),
        )
    return trades
