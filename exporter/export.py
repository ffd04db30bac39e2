"""From a folder of Keras models to one detector in the model repository."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from exporter.card import model_card
from exporter.clean import clean
from exporter.describe import describe
from exporter.folder import find_trained
from exporter.graph import build_detector, write_manifest
from exporter.keras_to_onnx import convert, load_model
from exporter.parity import measure_parity
from exporter.samples import collect_samples
from server.engine.manifest import FusionWeights, Manifest, Thresholds
from server.errors import InvalidModel


@dataclass(frozen=True, slots=True)
class Exported:
    path: Path
    manifest: Manifest


def export(
    folder: Path,
    output: Path,
    name: str,
    version: int | None,
    fusion_weights: FusionWeights,
    thresholds: Thresholds,
    media_folder: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Writes `output/<name>/<version>/model.onnx` and MODEL_CARD.md beside it; all or nothing.

    Args:
        folder: where the trainer left its models.
        output: the model repository.
        name: of the detector.
        version: None for the next free number.
        fusion_weights: defaults of requests that state none.
        thresholds: of the verdicts.
        media_folder: real media to check parity on; generated rows without it.
        progress: told each step.

    Raises:
        ModelNotFound: no trained model is in the folder.
        InvalidModel: a file is not what it should be, the graph differs from Keras by
            more than allowed, or the version exists.
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
        branches[modality] = clean(convert(models[modality], modality, model.path))
    progress("merging")
    detector = build_detector(manifest, branches)
    progress("comparing with Keras")
    samples = collect_samples(manifest, media_folder)
    parity = measure_parity(detector.SerializeToString(), manifest, models, samples)
    manifest = manifest.model_copy(update={"parity": parity})
    write_manifest(detector, manifest)
    return Exported(_publish(output / name / str(version), detector, manifest), manifest)


def _free_version(folder: Path, version: int | None) -> int:
    taken = {int(path.name) for path in folder.glob("*") if path.name.isdecimal()}
    if version in taken:
        raise InvalidModel(f"{folder / str(version)} exists already", "Choose another --version, or none.")
    return max(taken, default=0) + 1 if version is None else version


def _publish(target: Path, detector: onnx.ModelProto, manifest: Manifest) -> Path:
    """Moves the finished folder into place in one step: a server that watches sees all of it or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=target.parent))
    try:
        onnx.save(detector, unfinished / "model.onnx")
        size = (unfinished / "model.onnx").stat().st_size
        (unfinished / "MODEL_CARD.md").write_text(model_card(manifest, size), encoding="utf-8")
        unfinished.chmod(0o755)
        unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return target / "model.onnx"
