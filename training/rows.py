"""Files → labelled rows, made by the server's own decoders and kept on disk for the next run."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.media.spec import spec_hash
from training.decode import (
    DECODERS,
    Decoded,
    FileRows,
    Rejected,
    decode_files,
    image_regions,
    model_rows,
    read_bytes,
)
from training.errors import DataError
from training.labels import cell_labels, row_label
from training.masks import CELL, UNKNOWN, Cells, row_cells
from training.pseudo_fakes import splits_to_forge, with_pseudo_fakes
from training.sample import WHOLE, Sample, Split, read_samples, write_samples
from training.settings import FitSettings, Modality


@dataclass(frozen=True, slots=True)
class RowTable:
    """The rows of one modality; those of a file lie side by side.

    Attributes:
        values: [N, ...] as the model takes them: uint8 [H, W, 3] frames, uint8 [T, H, W, 3] clips
            or float32 [S] sound windows; read from disk on demand.
        labels: int8 [N], 0 real, 1 fake, or UNCLEAR.
        starts: int64 [F + 1], where the rows of each file begin, and the end of the last.
        samples: [F], the files that gave rows.
        rejected: those that gave none.
        data_hash: SHA-256 over the files' bytes, labels and splits.
        cells: uint8 [N, height / CELL, width / CELL], see `training.masks`; None if no file has a mask.
    """

    values: NDArray[Any]
    labels: NDArray[np.int8]
    starts: NDArray[np.int64]
    samples: list[Sample]
    rejected: list[Rejected]
    data_hash: str
    cells: Cells | None = None

    def files(self, split: Split) -> NDArray[np.int64]:
        """Indices of a split's files."""
        return np.asarray([i for i, sample in enumerate(self.samples) if sample.split == split], np.int64)

    def rows(self, files: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the rows of these files, in their order."""
        ranges = [np.arange(self.starts[file], self.starts[file + 1]) for file in files]
        return np.concatenate(ranges) if ranges else np.zeros(0, np.int64)

    def counts(self, files: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many rows each of these files has."""
        return self.starts[files + 1] - self.starts[files]


def check_classes(samples: Iterable[Sample], media_types: Iterable[Modality], settings: FitSettings) -> None:
    """Before the first model is trained, as hours would pass until the last one is found to lack files.

    Raises:
        DataError: a model has no real or no fake files to learn from, or to be validated on.
    """
    listed = list(samples)
    for modality in media_types:
        used = [sample for sample in listed if _feeds(sample, modality, settings)]
        for split in ("train", "val"):
            labels = {sample.label for sample in used if sample.split == split}
            if settings.pseudo_fakes and 0 in labels:
                labels.add(1)
            for label, name in enumerate(("real", "fake")):
                if label not in labels:
                    raise DataError(
                        f"{modality}: the {split} split has no {name} files; "
                        "--media-types names the models to train, if not all"
                    )


def load_rows(
    folder: Path, samples: Sequence[Sample], modality: Modality, settings: FitSettings, workers: int
) -> RowTable:
    """The rows that these files give the model of a modality.

    They are decoded once and kept in `folder/.rows/`, under a name that changes with the decoders,
    the row settings and the files: with what the list says of them, and, if it does not know the hash of
    their content, their size and time of change. Files that cannot be decoded, or whose mask cannot, are in
    `rejected`.
    Pseudo-fakes, if the settings want them, are files too.

    Raises:
        DataError: no file gives a row.
    """
    used = [sample for sample in samples if _feeds(sample, modality, settings)]
    cache = folder / ".rows" / _cache_name(folder, used, modality, settings)
    with _locked(cache):
        if cache.is_dir() and _may_be_more(cache, folder):
            # In one step, so that a kill leaves no half of it.
            cache.rename(_without_part(cache))
        if not cache.is_dir():
            _write(cache, folder, used, modality, settings, workers)
    return _read(cache)


def _without_part(cache: Path) -> Path:
    """Where a table is that is not whole; nothing is there now."""
    part = cache.with_name(cache.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    return part


def _may_be_more(cache: Path, folder: Path) -> bool:
    """Whether a file that could not be read then can be now."""
    table = json.loads((cache / "table.json").read_text(encoding="utf-8"))
    away = [folder / entry["path"] for entry in table["rejected"] if entry.get("passing")]
    return any(isinstance(read_bytes(path), bytes) for path in away)


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """One process at a time: of several that train on a folder, one decodes and the others wait for it."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.with_name(cache.name + ".lock").open("w") as lock:
        # Let go by the system however the process ends.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _feeds(sample: Sample, modality: Modality, settings: FitSettings) -> bool:
    frames = modality == "image" and sample.modality == "video" and settings.frames_from_videos
    return sample.modality == modality or frames


def _cache_name(folder: Path, samples: Iterable[Sample], modality: Modality, settings: FitSettings) -> str:
    forged = [settings.pseudo_fakes, settings.seed] if settings.pseudo_fakes else []
    # Training mixes channels: that others need not, makes no other rows of what is kept already.
    spec = asdict(settings.row_spec(modality))
    del spec["by_channel"]
    made_by = [DECODERS, spec_hash(), spec, forged]
    key = hashlib.sha256(json.dumps(made_by).encode())
    for sample in samples:
        # Prepared lists know what is in a file, so that a million of them need not be touched again.
        content = None if sample.content_hash else _stamp(folder / sample.path)
        mask = [_stamp(folder / sample.mask)] if sample.mask else []
        key.update(json.dumps([asdict(sample), content, *mask]).encode())
    return f"{modality}-{key.hexdigest()[:16]}"


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _write(
    cache: Path,
    folder: Path,
    samples: Sequence[Sample],
    modality: Modality,
    settings: FitSettings,
    workers: int,
) -> None:
    # Written beside its place and renamed, so that an interrupted run leaves no half of a table.
    part = _without_part(cache)
    part.mkdir(parents=True)
    kept: list[Sample] = []
    labels: list[int] = []
    counts: list[int] = []
    rejected: list[Rejected] = []
    row: NDArray[Any] = np.zeros(0)
    digest = hashlib.sha256()
    spec = settings.row_spec(modality)
    decoded = decode_files(folder, samples, spec, workers, f"decoding {modality} rows")
    files = (_file_rows(folder, sample, outcome, modality) for sample, outcome in decoded)
    side = spec.height // CELL if modality == "image" and any(sample.mask for sample in samples) else 0
    with (part / "values.bin").open("wb") as file, (part / "cells.bin").open("wb") as cells:
        for found in with_pseudo_fakes(files, modality, settings, splits_to_forge(samples), workers):
            if isinstance(found, Rejected):
                rejected.append(found)
                continue
            file.write(np.ascontiguousarray(found.values).data)
            unknown = np.full((len(found.values), side, side), UNKNOWN, np.uint8)
            cells.write((unknown if found.cells is None else found.cells).data)
            row = found.values[0]
            kept.append(found.sample)
            labels += found.labels
            counts.append(len(found.values))
            digest.update(_identity(found))
    if not kept:
        reasons = "; ".join(f"{entry.path}: {entry.reason}" for entry in rejected[:3]) or "there are none"
        raise DataError(f"no file in {folder} gives {modality} rows ({reasons})")
    np.savez(part / "rows.npz", labels=np.asarray(labels, np.int8), counts=np.asarray(counts, np.int64))
    write_samples(part / "samples.csv", kept)
    facts = {
        "shape": row.shape,
        "dtype": str(row.dtype),
        "data_hash": digest.hexdigest(),
        "cells": [side, side] if side else None,
        "rejected": [asdict(entry) for entry in rejected],
    }
    (part / "table.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    part.rename(cache)


def _identity(file: FileRows) -> bytes:
    """What `RowTable.data_hash` is made of."""
    told = f"{file.content_hash} {file.sample.label} {file.sample.split}\n".encode()
    if file.sample.region != WHOLE or file.cells is not None:
        told += bytes(np.asarray(file.labels, np.int8))
    return told if file.cells is None else told + file.cells.tobytes()


def _read(cache: Path) -> RowTable:
    facts = json.loads((cache / "table.json").read_text(encoding="utf-8"))
    arrays = np.load(cache / "rows.npz")
    labels, starts = arrays["labels"], np.concatenate([[0], np.cumsum(arrays["counts"])])
    shape = facts["cells"]
    return RowTable(
        values=np.memmap(cache / "values.bin", facts["dtype"], "r", shape=(len(labels), *facts["shape"])),
        labels=labels,
        starts=starts,
        samples=read_samples(cache / "samples.csv"),
        rejected=[Rejected(**entry) for entry in facts["rejected"]],
        data_hash=facts["data_hash"],
        cells=np.fromfile(cache / "cells.bin", np.uint8).reshape(-1, *shape) if shape else None,
    )


def _file_rows(
    folder: Path, sample: Sample, decoded: Decoded | Rejected, modality: Modality
) -> FileRows | Rejected:
    if isinstance(decoded, Rejected):
        return decoded
    values = model_rows(decoded.rows, modality)
    if not len(values):
        return Rejected(sample.path, f"it gives no {modality} rows")
    if modality != "image":
        return FileRows(sample, values, [sample.label] * len(values), decoded.content_hash)
    regions = image_regions(decoded.rows)
    if not sample.mask:
        labels = [row_label(sample.label, region, sample.region) for region in regions]
        return FileRows(sample, values, labels, decoded.content_hash)
    try:
        cells = row_cells(folder / sample.mask, regions, values.shape[1] // CELL)
    except DataError as error:
        return Rejected(sample.path, f"MASK: {error}")
    labels = cell_labels(cells, regions, sample.region)
    return FileRows(sample, values, labels, decoded.content_hash, cells)
