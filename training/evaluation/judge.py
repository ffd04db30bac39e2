"""Whoever judges media: Keras models in this process, the exported graph, or a server somewhere."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.evaluation.judged import JudgedFile
from training.rows import row_label
from training.sample import WHOLE, Region


@dataclass(frozen=True, slots=True)
class Task:
    """One encoded file to judge.

    Attributes:
        truth: what is known of it; the judge completes it with its answer.
        content: the file's bytes, or why they cannot be read.
        region: the forged part of the picture.
    """

    truth: JudgedFile
    content: bytes | OSError
    region: Region = WHOLE

    def row_label(self, modality: str, region: Region) -> int:
        """Label of a row that shows this part of the picture."""
        return row_label(self.truth.label, region, self.region) if modality == "image" else self.truth.label


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
