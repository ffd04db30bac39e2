"""The data sets that can be read, each with its own layout and official splits."""

from pathlib import Path

from training.datasets.asvspoof2019 import ASVSPOOF2019
from training.datasets.asvspoof2021 import ASVSPOOF2021
from training.datasets.celeb_df import CELEB_DF
from training.datasets.corpus import CORPUS
from training.datasets.dfdc import DFDC
from training.datasets.faceforensics import FACEFORENSICS
from training.datasets.fakeavceleb import FAKEAVCELEB
from training.datasets.listing import Dataset
from training.datasets.plain import PLAIN
from training.datasets.wavefake import WAVEFAKE
from training.errors import DataError

# The first two first: they name themselves most clearly, and looking for the others opens more folders.
DATASETS = {
    dataset.name: dataset
    for dataset in (
        CORPUS,
        PLAIN,
        FACEFORENSICS,
        CELEB_DF,
        FAKEAVCELEB,
        ASVSPOOF2019,
        ASVSPOOF2021,
        WAVEFAKE,
        DFDC,
    )
}


def find_dataset(root: Path, name: str | None = None) -> Dataset:
    """The data set of this name, or the one whose layout a folder has.

    Raises:
        DataError: it is no folder, or has no known layout.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    if name is not None:
        return DATASETS[name]
    for dataset in DATASETS.values():
        if dataset.found_in(root):
            return dataset
    raise DataError(
        f"{root} has the layout of none of these: {', '.join(DATASETS)}; "
        "a plain folder is {real,fake}/{images,videos,audio}/"
    )
