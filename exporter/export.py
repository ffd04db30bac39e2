"""From a folder of Keras models to one detector in the model repository."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from exporter.blocked import spread_gates
from exporter.card import Written, model_card
from exporter.clean import clean
from exporter.describe import describe
from exporter.errors import REPORT, refused
from exporter.evidence import collect_evidence
from exporter.folder import find_trained
from exporter.graph import build_detector, write_manifest
from exporter.keras_to_onnx import convert, load_model
from exporter.parity import measure_parity
from exporter.precisions import Detector, in_precisions
from exporter.samples import collect_samples
from server.engine.manifest import FusionWeights, Manifest, Precision, Thresholds
from server.engine.repository import graph_file
from server.errors import InvalidModel


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: of model.onnx, the graph in float32.
        manifest: of it.
        others: the manifests of the same graph in other precisions.
    """

    path: Path
    manifest: Manifest
    others: tuple[Manifest, ...]


def export(
    folder: Path,
    output: Path,
    name: str,
    version: int | None,
    fusion_weights: FusionWeights,
    thresholds: Thresholds,
    max_change: float,
    media_folder: Path | None = None,
    precisions: Sequence[Precision] = (),
    data_folder: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Writes `output/<name>/<version>/model.onnx`, other precisions and MODEL_CARD.md; all or nothing.

    Args:
        folder: where the trainer left its models.
        output: the model repository.
        name: of the detector.
        version: None for the next free number.
        fusion_weights: defaults of requests that state none.
        thresholds: of the verdicts.
        max_change: the largest mean change of a file's probability that another precision may cause.
        media_folder: real media to check parity on; generated rows without it.
        precisions: fp16 and int8 are written as well where they are named.
        data_folder: labelled media to make and judge these by; the others without it.
        progress: told each step.

    Raises:
        ModelNotFound: no trained model is in the folder, or no media are where they were named.
        InvalidModel: a file is not what it should be, the graph differs from Keras by
            more than allowed, another precision does so from this one, or the version exists.
    """
    version = _free_version(output / name, version)
    trained = find_trained(folder)
    models, branches = {}, {}
    for modality, model in trained.items():
        progress(f"reading {model.path.name}")
        models[modality] = load_model(model.path, modality)
    manifest = describe(name, version, trained, models, fusion_weights, thresholds)
    for modality, model in trained.items():
        progress(f"converting {model.path.name}")
        with refused(f"{model.path} cannot be converted to ONNX", REPORT):
            branches[modality] = clean(convert(models[modality], modality, model.path))
    progress("merging")
    with refused("the models cannot be merged into one graph", REPORT):
        # Not for the other precisions: only convolutions in float32 on the CPU have a layout of their own.
        detector = spread_gates(build_detector(manifest, branches))
    progress("comparing with Keras")
    samples = collect_samples(manifest, media_folder)
    parity = measure_parity(detector.SerializeToString(), manifest, models, samples)
    manifest = manifest.model_copy(update={"parity": parity})
    write_manifest(detector, manifest)
    detectors = [Detector(detector, manifest)]
    if others := [precision for precision in precisions if precision != "fp32"]:
        evidence = collect_evidence(manifest, data_folder, samples)
        detectors += in_precisions(
            others, detectors[0], branches, models, samples, evidence, max_change, progress
        )
    path = _publish(output / name / str(version), detectors)
    return Exported(path, manifest, tuple(one.manifest for one in detectors[1:]))


def _free_version(folder: Path, version: int | None) -> int:
    taken = {int(path.name) for path in folder.glob("*") if path.name.isdecimal()}
    if version in taken:
        raise InvalidModel(f"{folder / str(version)} exists already", "Choose another --version, or none.")
    return max(taken, default=0) + 1 if version is None else version


def _publish(target: Path, detectors: Sequence[Detector]) -> Path:
    """Moves the finished folder into place in one step: a server that watches sees all of it or nothing.

    Args:
        detectors: the one in float32 first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=target.parent))
    try:
        written = []
        for detector in detectors:
            file = graph_file(unfinished / "model.onnx", detector.manifest.precision)
            onnx.save(detector.graph, file)
            written.append(Written(detector.manifest, file.stat().st_size))
        (unfinished / "MODEL_CARD.md").write_text(model_card(*written), encoding="utf-8")
        unfinished.chmod(0o755)
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return target / "model.onnx"
