"""What a run of prepare is asked for; the command line is made from it."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

Place = Literal["reference", "link", "copy"]
OnLeak = Literal["refuse", "leave-out"]


class PrepareSettings(BaseModel, frozen=True, extra="forbid"):
    """See `python -m training prepare --help`.

    Attributes:
        inputs: folders, each of one data set.
        output: the data folder.
        dataset: name of the data set that all inputs are; None to tell by their layout.
        workers: decoding processes.
    """

    inputs: tuple[Path, ...]
    output: Path
    dataset: str | None = None
    workers: int = os.cpu_count() or 1
    place: Place = Field(
        "reference", description="leave the files where they are, or link or copy them into the data folder"
    )
    on_leak: OnLeak = Field("refuse", description="what to do with files that tie two splits together")
    official_splits: bool = Field(True, description="keep the splits of data sets that have them")
    seed: int = Field(0, description="of the other splits")
    decode_timeout_seconds: float = Field(120, description="for one file; the next run retries")
