"""One labelled media file, and the CSV that lists a corpus of them."""

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]
Region = tuple[float, float, float, float]
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of a corpus.

    Attributes:
        path: relative to the corpus folder.
        modality: which model it trains: image, video (silent clips) or audio.
        label: 0 real, 1 fake.
        split: whole groups go into one split.
        group: identity of the source; a fake shares its real source's group.
        operator: what made it fake; "none" for real.
        region: the forged part of the picture as fractions: left, top, right, bottom.
    """

    path: str
    modality: str
    label: int
    split: Split
    group: str
    operator: str = "none"
    region: Region = WHOLE


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """Writes one row per sample; the region as four numbers separated by spaces."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
        writer.writeheader()
        for sample in samples:
            writer.writerow(asdict(sample) | {"region": " ".join(f"{edge:.4f}" for edge in sample.region)})


def read_samples(path: Path) -> list[Sample]:
    """Reads what `write_samples` wrote. Raises KeyError or ValueError on a foreign CSV."""
    with path.open(newline="", encoding="utf-8") as file:
        return [_sample(row) for row in csv.DictReader(file)]


def _sample(row: dict[str, str]) -> Sample:
    split: Split
    match row["split"]:
        case "train" | "val" | "test" as split:
            left, top, right, bottom = map(float, row["region"].split())
            return Sample(
                row["path"],
                row["modality"],
                int(row["label"]),
                split,
                row["group"],
                row["operator"],
                (left, top, right, bottom),
            )
        case other:
            raise ValueError(f"split must be train, val or test, not {other!r}")
