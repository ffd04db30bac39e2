"""Why training could not go on; the message is for the person at the terminal."""

from collections.abc import Mapping


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


class ExportFailed(TrainingError):
    """The exporter ended with an error, which it has printed."""
