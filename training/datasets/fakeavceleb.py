"""FakeAVCeleb (Khalid et al., NeurIPS 2021 data sets): no official split.

    meta_data.csv   source,target1,target2,method,category,type,race,gender,path,<folder, without a heading>
    FakeAVCeleb/<type>/<race>/<gender>/<source>/<path>

The label is that of the pictures, which is what the video model sees: RealVideo-FakeAudio is real.
"""

import csv
from pathlib import Path

from training.datasets.listing import (
    VIDEO_SUFFIXES,
    Dataset,
    Entries,
    MediaFile,
    Unusable,
    identity,
    media_files,
)
from training.errors import DataError

_LISTING = "meta_data.csv"
_COLUMNS = 10
_LABELS = {"RealVideo": 0, "FakeVideo": 1}


def _found_in(root: Path) -> bool:
    return (root / _LISTING).is_file()


def _read(root: Path) -> Entries:
    listed = set()
    with (root / _LISTING).open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        next(lines, None)
        for number, columns in enumerate(lines, 2):
            entry = _entry(root, columns, number)
            listed.add(entry.path)
            yield entry
    for path in media_files(root, VIDEO_SUFFIXES):
        if path not in listed:
            yield Unusable(path, f"UNLISTED: {_LISTING} does not name it")


def _entry(root: Path, columns: list[str], line: int) -> MediaFile:
    if len(columns) != _COLUMNS:
        raise DataError(f"{root / _LISTING}, line {line}: {len(columns)} columns, not {_COLUMNS}")
    source, target1, target2, method, _, kind, _, _, name, folder = columns
    label = _LABELS.get(kind.split("-")[0])
    if label is None:
        raise DataError(f"{root / _LISTING}, line {line}: {kind!r} says neither RealVideo nor FakeVideo")
    people = [source, *(person for person in (target1, target2) if person.startswith("id"))]
    return MediaFile(
        _place(root, folder, name),
        "video",
        label,
        tuple(identity("voxceleb2", person) for person in people),
        manipulation=method if label else "none",
    )


def _place(root: Path, folder: str, name: str) -> Path:
    # The column begins with the data set's own folder, which may be the root or lie in it.
    below = Path(*Path(folder).parts[1:]) / name
    inside = root / Path(folder).parts[0] if folder else root
    return (inside if inside.is_dir() else root) / below


FAKEAVCELEB = Dataset("fakeavceleb", _found_in, _read)
