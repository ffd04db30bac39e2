"""One labelled media file, and the CSV that lists many of them."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeVar, get_args

from training.settings import MODALITIES, Modality

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Region = tuple[float, float, float, float]
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)
SEPARATOR = ";"
"""Between the entries of one CSV cell."""

T = TypeVar("T")

_NEEDED = ("path", "modality", "label", "split", "group")
_MODALITIES: dict[str, Modality] = {name: name for name in MODALITIES}
_LABELS = {"0": 0, "1": 1}
_SPLITS: dict[str, Split] = {name: name for name in SPLITS}


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of a corpus; its fields are the columns of every CSV of samples.

    Attributes:
        path: relative to the folder of the CSV, or absolute.
        modality: which model it trains: image, video (its pictures) or audio.
        label: 0 real, 1 fake.
        split: whole groups go into one split.
        group: what must not be split: a fake shares its real source's group.
        manipulation: what made it fake, "unknown" if the CSV does not say; "none" for real.
        region: the forged part of the picture as fractions: left, top, right, bottom.
        identities: every person and source clip in it; all of them belong to its group.
        compression: the data set's own word for it, such as c23; empty if it has none.
        dataset: where it comes from; empty for a generated corpus.
        duration_seconds: of a video or sound; 0 for a photo.
        content_hash: SHA-256 of its bytes in hexadecimal; empty if nobody has read it.
        checks: what it passed when it was prepared, see `training.prepare.lists`.
        mask: picture of the forged part, as `path`; empty if there is none.
    """

    path: str
    modality: Modality
    label: int
    split: Split
    group: str
    manipulation: str = "none"
    region: Region = WHOLE
    identities: tuple[str, ...] = ()
    compression: str = ""
    dataset: str = ""
    duration_seconds: float = 0.0
    content_hash: str = ""
    checks: tuple[str, ...] = ()
    mask: str = ""


COLUMNS = tuple(field.name for field in fields(Sample))


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Writes one row per sample: a region as four numbers or, if WHOLE, empty; SEPARATOR in lists."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(map(cells, samples))


def read_samples(path: Path) -> list[Sample]:
    """Reads what `write_samples` wrote; columns that have a default may be missing.

    Raises:
        ValueError: a foreign CSV, or one with words that mean nothing here.
    """
    # Spreadsheets begin a CSV with a byte-order mark.
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, restval="")
        if missing := [name for name in _NEEDED if name not in (rows.fieldnames or ())]:
            raise ValueError(f"it has no column {', '.join(missing)}")
        return [_sample(row, rows.line_num) for row in rows]


def cells(sample: Sample) -> tuple[object, ...]:
    """The row of a sample, in the order of COLUMNS."""
    row = {name: getattr(sample, name) for name in COLUMNS} | {
        "region": "" if sample.region == WHOLE else " ".join(f"{edge:.4f}" for edge in sample.region),
        "identities": SEPARATOR.join(sample.identities),
        "duration_seconds": f"{sample.duration_seconds:.3f}",
        "checks": SEPARATOR.join(sample.checks),
    }
    return tuple(row.values())


def _sample(row: dict[str, str], line: int) -> Sample:
    if "\0" in row["path"] + row.get("mask", ""):
        raise ValueError(f"line {line} names a file with a zero byte, which no system has")
    label = _meaning(row, "label", _LABELS)
    return Sample(
        path=Path(row["path"]).as_posix(),  # which says ./a.jpg as a.jpg
        modality=_meaning(row, "modality", _MODALITIES),
        label=label,
        split=_meaning(row, "split", _SPLITS),
        group=row["group"],
        manipulation=row.get("manipulation") or ("unknown" if label else "none"),
        region=_region(row) if row.get("region") else WHOLE,
        identities=_entries(row.get("identities", "")),
        compression=row.get("compression", ""),
        dataset=row.get("dataset", ""),
        duration_seconds=float(row.get("duration_seconds") or 0),
        content_hash=row.get("content_hash", ""),
        checks=_entries(row.get("checks", "")),
        mask=row.get("mask", ""),
    )


def _meaning(row: Mapping[str, str], column: str, words: Mapping[str, T]) -> T:
    word = row[column].strip()
    if word not in words:
        raise ValueError(f"{column} of {row['path']} must be {' or '.join(words)}, not {word!r}")
    return words[word]


def _region(row: Mapping[str, str]) -> Region:
    left, top, right, bottom = map(float, row["region"].split())
    # In pixels, no row would show any of it: all rows of the fake would count as real.
    if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1):
        raise ValueError(
            f"region of {row['path']} must be left, top, right and bottom as fractions, not {row['region']!r}"
        )
    return left, top, right, bottom


def _entries(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(SEPARATOR)) if cell else ()
