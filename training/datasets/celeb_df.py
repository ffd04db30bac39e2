"""Celeb-DF-v2 (Li et al., CVPR 2020).

    Celeb-real/id0_0001.mp4  YouTube-real/00001.mp4  Celeb-synthesis/id0_id1_0001.mp4
    List_of_testing_videos.txt          no header; "1 YouTube-real/00170.mp4", where 1 is REAL

The list is the official test split; all other videos are for training and validation.
"""

from pathlib import Path

from training.datasets.listing import (
    NOT_FOR_TEST,
    VIDEO_SUFFIXES,
    Dataset,
    Entries,
    MediaFile,
    Unusable,
    identity,
    media_files,
)
from training.errors import DataError

_LISTING = "List_of_testing_videos.txt"
_FOLDERS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}


def _found_in(root: Path) -> bool:
    return (root / _LISTING).is_file() or (root / "Celeb-synthesis").is_dir()


def _read(root: Path) -> Entries:
    test = _test_videos(root / _LISTING)
    for folder, label in _FOLDERS.items():
        for path in media_files(root / folder, VIDEO_SUFFIXES):
            name = path.relative_to(root).as_posix()
            yield _entry(path, folder, label, name in test)
            test.discard(name)
    for name in sorted(test):
        yield Unusable(root / name, f"MISSING: {_LISTING} names it")


def _entry(path: Path, folder: str, label: int, test: bool) -> MediaFile:
    parts = path.stem.split("_")
    people = [part for part in parts if part.startswith("id")]
    # The videos from YouTube show people without a number: each is a source of its own.
    names = people or [f"{folder}/{path.stem}"]
    return MediaFile(
        path,
        "video",
        label,
        tuple(identity("celeb-df", name) for name in names),
        ("test",) if test else NOT_FOR_TEST,
        "celeb-synthesis" if label else "none",
    )


def _test_videos(listing: Path) -> set[str]:
    """Names of the test videos.

    Raises:
        DataError: there is no list, or its labels contradict the folders.
    """
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{listing}, the official test split, cannot be read: {error.strerror}") from error
    names = set()
    for line in filter(None, map(str.strip, lines)):
        real, _, name = line.partition(" ")
        if _FOLDERS.get(name.partition("/")[0]) != {"1": 0, "0": 1}.get(real):
            raise DataError(f"{listing}: {line!r} contradicts its folder; 1 is real, 0 is fake")
        names.add(name)
    return names


CELEB_DF = Dataset("celeb-df-v2", _found_in, _read)
