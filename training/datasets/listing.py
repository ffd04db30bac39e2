"""What a data set says of its files before anybody has opened them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from training.sample import SEPARATOR, SPLITS, WHOLE, Region, Split
from training.settings import Modality

ANY_SPLIT = SPLITS
NOT_FOR_TEST: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file with what its data set says of it.

    Attributes:
        path: where it is.
        modality, label, manipulation, compression, region: as in `training.sample.Sample`.
        identities: every person and source clip in it. They begin with a word for whose names
            these are, so that equal names of different collections stay apart and data sets made
            from one collection share them.
        splits: where it may go: the official split alone, or all splits if there is none.
        mask: picture of the forged part, if there is one.
    """

    path: Path
    modality: Modality
    label: int
    identities: tuple[str, ...]
    splits: tuple[Split, ...] = ANY_SPLIT
    manipulation: str = "none"
    compression: str = ""
    region: Region = WHOLE
    mask: Path | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """A media file that cannot be used, and why."""

    path: Path
    reason: str


Entries = Iterator[MediaFile | Unusable]


@dataclass(frozen=True, slots=True)
class Dataset:
    """How one data set is read.

    Attributes:
        name: for --dataset and the column of the CSVs.
        found_in: whether a folder has its layout; looks at few files.
        read: every media file of the folder, in any order, one by one.
    """

    name: str
    found_in: Callable[[Path], bool]
    read: Callable[[Path], Entries]


def identity(collection: str, name: str) -> str:
    """A name that no other collection has, fit for a CSV cell of several."""
    return f"{collection}/{name}".replace(SEPARATOR, "_")


def media_files(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Files below a folder with one of these suffixes; hidden ones are skipped."""
    for path in folder.rglob("*"):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            yield path


def shallow(folder: Path, pattern: str, depth: int) -> Iterator[Path]:
    """What matches `pattern` in a folder or at most `depth` folders below it."""
    for level in range(depth + 1):
        yield from sorted(folder.glob("*/" * level + pattern))


VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v"))
SOUND_SUFFIXES = frozenset((".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus"))
