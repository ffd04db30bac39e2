"""What a run of prepare is asked for."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Place = Literal["reference", "link", "copy"]
OnLeak = Literal["refuse", "leave-out"]


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """See `python -m training prepare --help`.

    Attributes:
        inputs: folders, each of one data set.
        dataset: its name, for all of them; None to tell by the layout.
        output: the data folder.
        place: whether the files stay where they are, or are hard-linked or copied into the folder.
        on_leak: what becomes of files that tie two splits together.
        official_splits: keep those of data sets that have them.
        seed: of the splits that nobody has made.
        workers: decoding processes.
        decode_timeout_seconds: for one file.
    """

    inputs: tuple[Path, ...]
    output: Path
    dataset: str | None = None
    place: Place = "reference"
    on_leak: OnLeak = "refuse"
    official_splits: bool = True
    seed: int = 0
    workers: int = os.cpu_count() or 1
    decode_timeout_seconds: float = 120.0
