"""Why training could not go on; the message is for the person at the terminal."""

from collections.abc import Mapping
from pathlib import Path


class TrainingError(Exception):
    """Root of what the commands report without a traceback."""


class DataError(TrainingError):
    """The data or models folder does not hold what is needed."""


class LeakError(DataError):
    """Something that must be in one split only is in two.

    Args:
        what: the person, source clip, group or content.
        files: some that show it, and their splits.
        hint: what to do about it.
    """

    def __init__(self, what: str, files: Mapping[str, str], hint: str = "") -> None:
        shown = ", ".join(f"{path} ({split})" for path, split in files.items())
        super().__init__(f"{what} is in more than one split: {shown}{hint and '. '}{hint}")
        self.what = what
        self.files = dict(files)


class OtherTraining(DataError):
    """What lies in the models folder was trained otherwise; it is not overwritten unless asked.

    Args:
        path: of the record or the checkpoint.
        trained, wanted: what identifies each run: its settings and its data.
    """

    def __init__(self, path: Path, trained: Mapping[str, object], wanted: Mapping[str, object]) -> None:
        names = [name for name in {**trained, **wanted} if trained.get(name) != wanted.get(name)]
        changes = ", ".join(f"{name} {trained.get(name)} → {wanted.get(name)}" for name in names)
        super().__init__(
            f"{path} is of a training with other settings or data ({changes}). Repeat those to go on "
            "with it, give another --output-dir, or --restart to begin anew"
        )


class Diverged(TrainingError):
    """The loss became infinite or no number."""

    def __init__(self) -> None:
        super().__init__("the loss is no number any more: try a lower --learning-rate")


class ExportFailed(TrainingError):
    """The exporter ended with an error, which it has printed."""


_EXTRAS = {"onnxruntime": "cpu", "psutil": "bench", "hpack": "bench", "atheris": "bench"}
"""Module → extra that brings it, where it is not `train`."""


def missing(error: ModuleNotFoundError) -> str:
    """What is missing, and the extra that brings it."""
    extra = _EXTRAS.get(error.name or "", "train")
    return f"{error}; install it with: pip install 'deepfake-detector[{extra}]'"
