"""Which files to learn from: those of a prepared folder, of a corpus, or of a plain folder."""

from collections.abc import Sequence
from pathlib import Path

from training.datasets.corpus import CORPUS_CSV, read_listing
from training.datasets.listing import MediaFile
from training.datasets.plain import PLAIN
from training.errors import DataError
from training.leaks import check_leaks
from training.sample import SPLITS, Sample, Split
from training.settings import MODALITIES
from training.splits import choose_split, hash_of

ABOUT = "about.txt"
"""In a data folder: what the media are, for the model card."""


def list_name(modality: str, split: Split) -> str:
    """Name of the CSV that lists the files of a split in a prepared folder."""
    return f"{split}{_LIST_SUFFIXES[modality]}.csv"


_LIST_SUFFIXES = {"image": "", "video": "_videos", "audio": "_audio"}


def find_samples(folder: Path) -> list[Sample]:
    """The samples that a folder's CSVs list, or else the files of a plain folder.

    The CSVs are the nine of a prepared folder (`list_name`), or the `corpus.csv` of a generated
    one. A plain folder is `{real,fake}/{images,videos,audio}/`. There, files of the same name
    (without suffix) are one group, the folder between names a fake's manipulation, and groups
    are spread over train, val and test as 70 : 15 : 15 by a hash of their name, so that a file
    added later moves no other.

    Raises:
        DataError: nothing of that is there.
        LeakError: something is in two splits of the CSVs.
    """
    listings = [folder / list_name(modality, split) for modality in _LIST_SUFFIXES for split in SPLITS]
    listings = [listing for listing in listings if listing.is_file()]
    if not listings:
        listings = [folder / CORPUS_CSV]
    if not listings[0].is_file():
        return _scan(folder)
    samples = [sample for listing in listings for sample in read_listing(listing)]
    if not samples:
        raise DataError(f"{', '.join(listing.name for listing in listings)} in {folder} list no files")
    check_leaks(samples)
    return samples


def _scan(folder: Path) -> list[Sample]:
    files = [entry for entry in PLAIN.read(folder) if isinstance(entry, MediaFile)]
    if not files:
        raise DataError(
            f"{folder} has neither CSVs of samples nor files in {{real,fake}}/{{images,videos,audio}}/"
        )
    for file in files:
        # As in `prepare`, which leaves such files out.
        if not str(file.path).isprintable():
            raise DataError(f"{str(file.path)!a}: rename it, it holds characters that cannot be printed")
    return sorted((_sample(file, folder) for file in files), key=lambda sample: sample.path)


def _sample(file: MediaFile, folder: Path) -> Sample:
    (group,) = file.identities
    return Sample(
        file.path.relative_to(folder).as_posix(),
        file.modality,
        file.label,
        choose_split(group),
        group,
        file.manipulation,
    )


def limit_samples(samples: Sequence[Sample], limit: int | None) -> list[Sample]:
    """At most `limit` samples of every modality, group by group, the same ones every time."""
    if limit is None:
        return list(samples)
    # Salted, or the order would be that of the splits and a small limit would keep training files only.
    ordered = sorted(samples, key=lambda sample: (hash_of(f"limit {sample.group}"), sample.path))
    by_modality = [[s for s in ordered if s.modality == modality] for modality in MODALITIES]
    return [sample for mine in by_modality for sample in mine[:limit]]
