"""Whoever judges media: Keras models in this process, the exported graph, or a server somewhere."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError
from training.evaluation.judged import JudgedFile
from training.labels import UNCLEAR, cell_labels, row_label
from training.masks import row_cells
from training.sample import WHOLE, Region

_CELLS = 16
"""A side of a row; how many tells nothing of its label."""


@dataclass(frozen=True, slots=True)
class Task:
    """One encoded file to judge.

    Attributes:
        truth: what is known of it; the judge completes it with its answer.
        content: the file's bytes, or why they cannot be read.
        region: the forged part of the picture.
        mask: a grey picture of it, if there is one.
    """

    truth: JudgedFile
    content: bytes | OSError
    region: Region = WHOLE
    mask: Path | None = None

    def row_labels(self, modality: str, regions: Sequence[Region], apart: bool = False) -> list[int]:
        """Labels, as in training, of rows that show these parts of the picture.

        Args:
            apart: they are of single channels: which of them a forgery is in, nobody said.

        Raises:
            DataError: the mask cannot be read.
        """
        label = self.truth.label
        if modality != "image":
            return [UNCLEAR if apart and label else label] * len(regions)
        if self.mask is None or not regions:
            return [row_label(label, region, self.region) for region in regions]
        return cell_labels(row_cells(self.mask, regions, _CELLS), regions, self.region)

    def without_mask(self, error: DataError) -> JudgedFile:
        """Left out, as `fit` leaves it out: nobody knows what its rows show."""
        return self.truth.answered(error=f"MASK: {error}")


@dataclass(frozen=True, slots=True)
class Activation:
    """Where a frame looks fake.

    Attributes:
        region: the part of the picture that the row shows.
        start_seconds: 0 for a photo.
        fake_probability: of the row.
        heatmap: float32 [h, w] in [0, 1].
    """

    region: Region
    start_seconds: float
    fake_probability: float
    heatmap: NDArray[np.float32]


class Judge(Protocol):
    """Judges files as a deployed detector would.

    Attributes:
        name: for people: what judges.
        real_threshold, fake_threshold: at or below the one REAL, at or above the other FAKE.
        local: whether the work is done by this process and its children.
    """

    name: str
    real_threshold: float
    fake_threshold: float
    local: bool

    def judge(self, tasks: Iterable[Task]) -> Iterator[JudgedFile]:
        """Every task's truth, completed; in any order, a few read ahead."""
        ...

    def activations(self, content: bytes) -> list[Activation]:
        """The class-activation maps of a photo or of a video's frames; none for sound."""
        ...
