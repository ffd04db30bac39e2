"""What the prepared files are, in counts."""

from collections import Counter
from dataclasses import dataclass, field
from math import floor, log10

from rich.table import Table

from training.sample import SPLITS, Sample, Split
from training.settings import MODALITIES, Modality

_BINS_PER_DECADE = 5


@dataclass(slots=True)
class Summary:
    """Counts of files, filled one by one.

    Attributes:
        files: by modality, split and label.
        manipulations: by modality and manipulation.
        sources: by data set and compression.
        durations: by modality and bin, see `duration_bin`; photos have none.
        rejected: by code.
        warned: files that were decoded with a warning.
        near_duplicates: files with one of the same label.
    """

    files: Counter[tuple[str, Split, int]] = field(default_factory=Counter)
    manipulations: Counter[tuple[str, str]] = field(default_factory=Counter)
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    durations: Counter[tuple[str, int]] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    warned: int = 0
    near_duplicates: int = 0

    def add(self, sample: Sample) -> None:
        self.files[sample.modality, sample.split, sample.label] += 1
        self.manipulations[sample.modality, sample.manipulation] += 1
        self.sources[sample.dataset, sample.compression] += 1
        if sample.duration_seconds > 0:
            self.durations[sample.modality, duration_bin(sample.duration_seconds)] += 1
        self.warned += "complete" not in sample.checks
        self.near_duplicates += "unique" not in sample.checks

    def reject(self, reason: str) -> None:
        self.rejected[reason.partition(":")[0]] += 1

    @property
    def modalities(self) -> list[Modality]:
        """Those that have files."""
        return [modality for modality in MODALITIES if any(key[0] == modality for key in self.files)]

    def gaps(self) -> list[str]:
        """Splits that `fit` or `evaluate` will refuse, because a class is missing."""
        return [
            f"{modality}: the {split} split has no {name} files"
            for modality in self.modalities
            for split in SPLITS
            for label, name in enumerate(("real", "fake"))
            if not self.files[modality, split, label]
        ]

    def balance(self) -> list[tuple[str, str, int, int]]:
        """Modality, split, real and fake files of each."""
        return [
            (modality, split, self.files[modality, split, 0], self.files[modality, split, 1])
            for modality in self.modalities
            for split in SPLITS
        ]


def duration_bin(seconds: float) -> int:
    """Number of the logarithmic bin; bin 0 begins at one second."""
    return floor(_BINS_PER_DECADE * log10(seconds))


def bin_start(number: int) -> float:
    """Seconds at which a bin begins."""
    return float(10 ** (number / _BINS_PER_DECADE))


def as_table(summary: Summary) -> Table:
    """Class balance, for a terminal."""
    table = Table("", "split", title="Prepared files")
    for heading in ("real", "fake", "fake share"):
        table.add_column(heading, justify="right")
    for modality, split, real, fake in summary.balance():
        share = f"{fake / (real + fake):.0%}" if real + fake else ""
        table.add_row(modality, split, str(real), str(fake), share)
    return table
