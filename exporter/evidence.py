"""Rows to calibrate another precision on, and files that tell what it changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporter.samples import Samples, generated, row_spec
from server.engine.manifest import Manifest
from server.errors import MediaError, ModelNotFound
from server.media.decode import decode
from server.media.limits import MediaLimits
from training.decode import model_rows
from training.errors import DataError
from training.files import find_samples, limit_samples
from training.sample import Sample, Split

# Per modality, of at least a quarter as many files.
_CALIBRATION_ROWS = 64
_ROWS_OF_A_FILE = 4
_MEASURED_FILES = 2000

# A file's label is about what it was made for: the sound of a video with forged pictures may be real.
_JUDGED_BY = {"image": ("image",), "video": ("image", "video"), "audio": ("audio",)}


@dataclass(frozen=True, slots=True)
class File:
    """One medium as a request: rows by modality, as in `exporter.samples.Samples`.

    Attributes:
        label: 0 real, 1 fake; None if nobody knows.
    """

    rows: dict[str, NDArray[np.generic]]
    label: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the other precisions are made and judged by.

    Attributes:
        calibration: rows by modality, at least one each.
        calibrated_on, measured_on: what they are, in words.
        files: others than those of the calibration if the data are labelled; to be read once.
    """

    calibration: dict[str, NDArray[np.generic]]
    calibrated_on: str
    files: Iterator[File]
    measured_on: str


def collect_evidence(manifest: Manifest, data_folder: Path | None, samples: Sequence[Samples]) -> Evidence:
    """Labelled files of a data folder, or without one rows that nobody labelled.

    Args:
        data_folder: as `training prepare` made it, or what else `training fit` takes. Its validation
            split calibrates, its test split measures.
        samples: those of the parity check; their media, if there are any, serve without a folder.

    Raises:
        ModelNotFound: the folder lacks files for one of the models.
    """
    if data_folder is None:
        given = next((sample for sample in samples if sample.name == "media"), None)
        rows = (given or generated(manifest, _CALIBRATION_ROWS)).rows
        if missing := [name for name in manifest.modalities if name not in rows]:
            raise ModelNotFound(
                f"the given media have nothing for the {missing[0]} model",
                "Add some to --media-dir, name a --data-dir, or leave both out.",
            )
        files = (File({name: row[None]}) for name, stack in rows.items() for row in stack)
        words = f"{'given media' if given else 'generated rows'}, unlabelled"
        return Evidence(rows, words, files, words)
    try:
        found = find_samples(data_folder)
    except DataError as error:
        raise ModelNotFound(str(error), "Name a folder as of training fit.") from error
    rows = _calibration_rows(manifest, data_folder, found)
    files = (File(rows, sample.label) for sample, rows in _decoded(manifest, data_folder, found, "test"))
    return Evidence(rows, f"validation files of {data_folder}", files, f"test files of {data_folder}")


def _calibration_rows(
    manifest: Manifest, folder: Path, found: Sequence[Sample]
) -> dict[str, NDArray[np.generic]]:
    collected: dict[str, list[NDArray[np.generic]]] = {name: [] for name in manifest.modalities}
    for _, rows in _decoded(manifest, folder, found, "val"):
        for modality, few in rows.items():
            collected[modality].extend(few[:_ROWS_OF_A_FILE])
        if all(len(enough) >= _CALIBRATION_ROWS for enough in collected.values()):
            break
    for modality, found_rows in collected.items():
        if not found_rows:
            raise ModelNotFound(
                f"the validation split of {folder} has no file for the {modality} model",
                "Add some, or leave --data-dir out.",
            )
    return {modality: np.stack(many[:_CALIBRATION_ROWS]) for modality, many in collected.items()}


def _decoded(
    manifest: Manifest, folder: Path, found: Sequence[Sample], split: Split
) -> Iterator[tuple[Sample, dict[str, NDArray[np.generic]]]]:
    """What can be decoded, mixed; rows of the models that the label is about."""
    spec = row_spec(manifest)
    for sample in limit_samples([one for one in found if one.split == split], _MEASURED_FILES):
        try:
            media = decode((folder / sample.path).read_bytes(), spec, MediaLimits())
        except (MediaError, OSError):
            continue
        judged = [name for name in _JUDGED_BY[sample.modality] if name in manifest.modalities]
        rows = {name: rows for name in judged if len(rows := model_rows(media, name))}
        if rows:
            yield sample, rows
