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
    """The samples of a CSV; one that is listed twice counts once.

    Raises:
        DataError: it is none of samples, or says different things of one file.
    """
    try:
        samples = read_samples(listing)
    except UnicodeError as error:
        raise DataError(f"{listing} is not UTF-8: save it as such") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{listing} is not a listing of samples: {error}") from error
    # A video may be listed a second time for its sound.
    first: dict[Modality, dict[str, Sample]] = {modality: {} for modality in MODALITIES}
    for sample in samples:
        if first[sample.modality].setdefault(sample.path, sample) != sample:
            raise DataError(f"{listing} lists {sample.path} twice, and not with the same words")
    return [sample for sample in samples if first[sample.modality][sample.path] is sample]


def _found_in(root: Path) -> bool:
    return (root / CORPUS_CSV).is_file()


def _read(root: Path) -> Entries:
    modalities: dict[str, Modality] = {}
    for sample in read_listing(root / CORPUS_CSV):
        if modalities.setdefault(sample.path, sample.modality) != sample.modality:
            raise DataError(
                f"{sample.path} is listed as {modalities[sample.path]} and as {sample.modality}, but is "
                "prepared once: list its sound as a file of its own, or train on the folder unprepared"
            )
        yield MediaFile(
            root / sample.path,
            sample.modality,
            sample.label,
            (identity("corpus", sample.group), *sample.identities),
            (sample.split,),
            sample.manipulation,
            sample.compression,
            sample.region,
            root / sample.mask if sample.mask else None,
        )


CORPUS = Dataset("corpus", _found_in, _read)
