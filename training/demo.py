"""The detector that needs no download: generated media → models → one ONNX graph."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from training.corpus import clips, images, speech
from training.datasets.corpus import CORPUS_CSV
from training.errors import ExportFailed
from training.evaluation.measure import as_table, from_json
from training.files import ABOUT, find_samples
from training.pipeline import train_modality
from training.sample import Sample, write_samples
from training.settings import FitSettings, Modality

WriteCorpus = Callable[[Path, int, int, int], list[Sample]]

CORPORA: dict[Modality, tuple[WriteCorpus, int]] = {
    "image": (images.write_images, 4000),
    "video": (clips.write_clips, 1200),
    "audio": (speech.write_speech, 1000),
}
"""What writes the media of a modality, and its count at scale 1: of files, of sound of pairs."""

_ABOUT = """\
Media that a program made, from a seed: no photograph, film or recording of the world is among them. The
real ones are synthetic scenes through a simulated camera and synthetic voices through a simulated room
and microphone; each forged one is a real one put through a forgery operator, published in the same way.
"""

# With fewer, a split may end up without any.
_FEWEST = 40
_SETTINGS_JSON = "corpus.json"


def demo(
    output: Path,
    data: Path,
    media_types: Sequence[Modality],
    settings: FitSettings,
    scale: float,
    version: int | None,
    workers: int,
    console: Console,
    restart: bool = False,
) -> None:
    """Generates the media, trains and measures a model per modality, exports the detector.

    What an earlier run with the same settings has finished is kept: the media, and each model.

    Args:
        scale: how many media, as a fraction of the full corpus.
        version: of the detector; the exporter's choice if None.
        restart: train again what an earlier run has trained, or begun to.

    Raises:
        DataError: the corpus is too small to train on.
        OtherTraining: an earlier run had other settings.
        ExportFailed: the detector could not be exported.
    """
    samples = make_corpus(data, media_types, settings.seed, scale, workers, console)
    records = [
        train_modality(modality, data, samples, output, settings, workers, console, restart=restart)
        for modality in media_types
    ]
    _export(output, version, console)
    held_out = [entry for record in records if record for entry in from_json(record.metrics["test"])]
    console.print(as_table(held_out, "Generated media that the models have not seen"))
    console.print(f"Media in {data}, models and their records in {output}.")
    console.print(f"Serve them with: python -m server --models {output}")


def make_corpus(
    data: Path, media_types: Sequence[Modality], seed: int, scale: float, workers: int, console: Console
) -> list[Sample]:
    """The generated corpus; written unless `data` holds that of the same settings already."""
    counts = {modality: max(_FEWEST, round(CORPORA[modality][1] * scale)) for modality in media_types}
    wanted = {"seed": seed, "counts": counts}
    marker = data / _SETTINGS_JSON
    if marker.is_file() and json.loads(marker.read_text(encoding="utf-8")) == wanted:
        console.print(f"{data} holds this corpus already")
        return find_samples(data)
    # From the first file on, it is no longer true.
    marker.unlink(missing_ok=True)
    samples: list[Sample] = []
    for modality, count in counts.items():
        with console.status(f"generating {count} {modality} media"):
            samples += CORPORA[modality][0](data, count, seed, workers)
    write_samples(data / CORPUS_CSV, samples)
    (data / ABOUT).write_text(_ABOUT, encoding="utf-8")
    # Last, so that an interrupted run does not leave half a corpus that looks whole.
    marker.write_text(json.dumps(wanted), encoding="utf-8")
    return samples


def _export(output: Path, version: int | None, console: Console) -> None:
    console.rule("export")
    # As a process: the exporter imports the trainer, not the other way round.
    command = [sys.executable, "-m", "exporter", str(output)]
    if version is not None:
        command += ["--version", str(version)]
    if subprocess.run(command, check=False).returncode:  # noqa: S603  our own module
        raise ExportFailed("python -m exporter failed; its message is above")
