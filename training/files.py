"""Which files to learn from: a corpus with its CSV, or a plain folder of real and fake media."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from training.errors import DataError
from training.sample import Sample, Split, read_samples

CORPUS_CSV = "corpus.csv"
ABOUT = "about.txt"
"""In a data folder: what the media are, for the model card."""
MODALITY_FOLDERS = {"images": "image", "videos": "video", "audio": "audio"}
LABEL_FOLDERS = {"real": 0, "fake": 1}


def find_samples(folder: Path) -> list[Sample]:
    """The samples that `corpus.csv` lists, or else the files of a plain folder.

    A plain folder is `{real,fake}/{images,videos,audio}/`. There, files of the same name (without
    suffix) are one group, the folder between names a fake's operator, and groups are spread
    over train, val and test as 70 : 15 : 15 by a hash of their name, so that a file added
    later moves no other.

    Raises:
        DataError: nothing of that is there.
    """
    listing = folder / CORPUS_CSV
    if not listing.is_file():
        return _scan(folder)
    try:
        samples = read_samples(listing)
    except (KeyError, ValueError) as error:
        raise DataError(f"{listing} is not a corpus listing: {error}") from error
    if not samples:
        raise DataError(f"{listing} lists no files")
    return samples


def _scan(folder: Path) -> list[Sample]:
    samples = [
        _sample(file.relative_to(folder), modality, label)
        for label_name, label in LABEL_FOLDERS.items()
        for modality_name, modality in MODALITY_FOLDERS.items()
        for file in sorted((folder / label_name / modality_name).rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    ]
    if not samples:
        raise DataError(
            f"{folder} has neither {CORPUS_CSV} nor files in {{real,fake}}/{{images,videos,audio}}/"
        )
    return samples


def _sample(path: Path, modality: str, label: int) -> Sample:
    method = "/".join(path.parts[2:-1]) or "unknown"
    operator = method if label else "none"
    return Sample(path.as_posix(), modality, label, _split(path.stem), path.stem, operator)


def _split(group: str) -> Split:
    place = _hash(group) / 2**256
    if place < 0.70:
        return "train"
    return "val" if place < 0.85 else "test"


def limit_samples(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """At most `limit` samples of every modality, group by group, the same ones every time."""
    if limit is None:
        return list(samples)
    # Salted, or the order would be that of the splits and a small limit would keep training files only.
    ordered = sorted(samples, key=lambda sample: (_hash(f"limit {sample.group}"), sample.path))
    by_modality = [[s for s in ordered if s.modality == modality] for modality in MODALITY_FOLDERS.values()]
    return [sample for mine in by_modality for sample in mine[:limit]]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest())
