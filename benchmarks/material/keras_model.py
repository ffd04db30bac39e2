"""An untrained detector of photos with a full-size backbone, made once and kept.

Speed does not depend on what the weights are. As a program, so that TensorFlow is not in the process that
measures: `python -m benchmarks.material.keras_model FOLDER BACKBONE SIZE` makes the Keras model, and
`… FOLDER --raw FILE` converts it as it is.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.material.media import photo_rows
from benchmarks.report.results import RESULTS

if TYPE_CHECKING:
    import keras

NAME = "benchmark"
_KERAS_FILE = "image_model_best.keras"
_SAMPLES = 8
KEEP = RESULTS / "models"
EXPORTING = "exporting the model (only the first time)"


def exported_model(backbone: str, size: int, precisions: str = "fp32") -> Path:
    """`.../model.onnx` of an image detector for size × size pixels, exported the first time.

    Args:
        precisions: as of the exporter.

    Raises:
        RuntimeError: it has to be made, and the extra `train` is missing or a step failed.
    """
    models = KEEP / f"{backbone}-{size}{precisions.removeprefix('fp32').replace(',', '-')}"
    model = models / NAME / "1" / "model.onnx"
    if not model.is_file():
        if importlib.util.find_spec("tensorflow") is None:
            raise RuntimeError(
                f"{model} has to be exported first: install the extra 'train', or give a --model"
            )
        _run("benchmarks.material.keras_model", str(models), backbone, str(size))
        # What another precision does to the answers of untrained weights means nothing.
        any_change = ("--max-change", "1")
        _run(
            "exporter", str(models), "--name", NAME, "--version", "1", "--precisions", precisions, *any_change
        )
    return model


def raw_graph(model: Path) -> Path:
    """What tf2onnx makes of the Keras model of pictures that a model.onnx was exported from, left as it is.

    Raises:
        RuntimeError: it is not where the exporter found it, or as `exported_model`.
    """
    models = model.resolve().parents[2]
    raw, trained = models / "raw.onnx", models / _KERAS_FILE
    if not (raw.is_file() or trained.is_file()):
        raise RuntimeError(f"{models} does not hold {_KERAS_FILE}, of which {model} was made")
    # One of earlier weights would be compared with a detector of others.
    if not raw.is_file() or (trained.is_file() and trained.stat().st_mtime > raw.stat().st_mtime):
        _run("benchmarks.material.keras_model", str(models), "--raw", str(raw))
    return raw


def write_raw_graph(folder: Path, raw: Path) -> None:
    """Converts the Keras model in `folder`."""
    import onnx

    from exporter.keras_to_onnx import convert, load_model

    file = folder / _KERAS_FILE
    onnx.save(convert(load_model(file, "image"), "image", file), raw)


def write_keras_model(folder: Path, backbone: str, size: int) -> None:
    """Writes the Keras model and its training record into `folder`."""
    import keras

    from server.media.spec import spec_hash
    from training.models.image import build_image_model
    from training.record import TrainingRecord, write_record

    keras.utils.set_random_seed(1)
    model = build_image_model(backbone, size, size, weights="none")  # type: ignore[arg-type]
    _tell_pictures_apart(model, size)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _KERAS_FILE
    model.save(file)
    settings = {"backbone": backbone, "weights": "none", "trained": False}
    write_record(
        folder,
        TrainingRecord(
            modality="image", keras_file=file.name, branch={}, spec_hash=spec_hash(), settings=settings
        ),
    )


def _tell_pictures_apart(model: "keras.Model", size: int) -> None:
    """Gives the logits of generated photos mean 0 and deviation 1.

    Without training they are the same to five digits, and an answer to another request would pass as right.
    """
    head = model.get_layer("activation_map")
    frames = photo_rows(size, size, _SAMPLES)
    logits = np.asarray(model(frames, training=False)["logit"])
    kernel, bias = head.get_weights()
    head.set_weights([kernel / logits.std(), (bias - logits.mean()) / logits.std()])


def _run(module: str, *arguments: str) -> None:
    if subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode:
        raise RuntimeError(f"python -m {module} {' '.join(arguments)} failed; its message is above")


if __name__ == "__main__":
    from training.quiet import start_tensorflow

    start_tensorflow()
    if sys.argv[2] == "--raw":
        write_raw_graph(Path(sys.argv[1]), Path(sys.argv[3]))
    else:
        write_keras_model(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
