"""A folder whose `corpus.csv` says all: a generated corpus, or your own media with the people you know.

The columns are those of `training.sample.Sample`; path, modality, label, split and group are needed.
"""

import csv
from pathlib import Path

from training.datasets.listing import Dataset, Entries, MediaFile, identity
from training.errors import DataError
from training.sample import Sample, read_samples
from training.settings import MODALITIES, Modality

CORPUS_CSV = "corpus.csv"


def read_listing(listing: Path) -> list[Sample]:
    """The samples of a CSV. Raises DataError if it is none of samples."""
    try:
        return read_samples(listing)
    except (KeyError, ValueError, csv.Error) as error:
        raise DataError(f"{listing} is not a listing of samples: {error!r}") from error


def _found_in(root: Path) -> bool:
    return (root / CORPUS_CSV).is_file()


def _read(root: Path) -> Entries:
    for sample in read_listing(root / CORPUS_CSV):
        yield MediaFile(
            root / sample.path,
            _modality(sample),
            sample.label,
            (identity("corpus", sample.group), *sample.identities),
            (sample.split,),
            sample.manipulation,
            sample.compression,
            sample.region,
        )


def _modality(sample: Sample) -> Modality:
    for modality in MODALITIES:
        if modality == sample.modality:
            return modality
    raise DataError(f"{sample.path}: {sample.modality!r} is none of {', '.join(MODALITIES)}")


CORPUS = Dataset("corpus", _found_in, _read)
