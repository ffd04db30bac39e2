"""The model to serve, and its versions: <folder>/<name>/<version>/model.onnx (Triton's layout).

The same version in other precisions lies beside it, as `graph_file` names them.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from server.engine.manifest import Precision
from server.errors import ModelNotFound

BUNDLED = Path(__file__).parent.parent / "bundled"
_GRAPH = "model.onnx"
_FILES: dict[Precision, str] = {"fp32": _GRAPH, "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}


@dataclass(frozen=True, slots=True)
class Version:
    """One version as it is on disk now: another file under the same number is not equal to it.

    Attributes:
        number: its folder's name.
        graph: its model.onnx.
        stamps: inode, bytes and nanoseconds of the last change of that file, then of those of the
            other precisions; None where there is none, zeros for what may not be looked at or read.
    """

    number: str
    graph: Path
    stamps: tuple[tuple[int, int, int] | None, ...]


class Repository:
    """The versions of one model; may change on disk at any time.

    Args:
        folder: of all models; None for ./models if it holds a model, else the bundled one.
        name: of the model; needed if the folder holds several.
        pinned: the only version that may be served; None for all.

    Raises:
        ModelNotFound: no such model or version, of which the message lists what there is; or the folder
            cannot be read.
    """

    def __init__(self, folder: Path | None, name: str | None = None, pinned: str | None = None) -> None:
        if folder is None:
            folder = Path("models")
            if not _names(folder):
                folder = BUNDLED
        names = _names(folder)
        if not names:
            raise ModelNotFound(f"{folder} holds no NAME/VERSION/{_GRAPH}")
        if name is None and len(names) > 1:
            raise ModelNotFound(
                f"{folder} holds several models: {', '.join(names)}", "Choose one with --model."
            )
        chosen = name or names[0]
        if chosen not in names:
            raise ModelNotFound(
                f"{folder} holds no model {chosen}, only {', '.join(names)}", "Choose one with --model."
            )
        self._folder = folder / chosen
        self._pinned = pinned
        if not self.versions():
            there = ", ".join(graph.parent.name for graph in _graphs(self._folder))
            raise ModelNotFound(
                f"{self._folder} holds no version {pinned}, only {there}",
                "Choose one with --model-version, or leave it out.",
            )

    def versions(self) -> list[Version]:
        """Those that are there now and may be served, the highest number first."""
        found = []
        for graph in _graphs(self._folder):
            stamps = tuple(_stamp(graph_file(graph, precision)) for precision in _FILES)
            # The file may have been removed after it was listed.
            if stamps[0]:
                found.append(Version(graph.parent.name, graph, stamps))
        allowed = [version for version in found if self._pinned in (None, version.number)]
        return sorted(allowed, key=lambda version: int(version.number), reverse=True)


def graph_file(graph: Path, precision: Precision) -> Path:
    """Where the version of this model.onnx is in another precision, if it is there."""
    return graph.with_name(_FILES[precision])


def version_of(graph: Path) -> str | None:
    """The number of the folder that a graph lies in; None if that is no version's."""
    return graph.parent.name if graph.parent.name.isdecimal() else None


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        stat = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # It counts as there, so that whoever put it there is told why it cannot be loaded.
        return 0, 0, 0
    if not os.access(file, os.R_OK):
        # Another file once it may be read: giving the right to it changes nothing of the above.
        return 0, 0, 0
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _names(folder: Path) -> list[str]:
    try:
        return sorted({graph.parts[-3] for graph in _graphs(folder, "*/*")})
    except OSError as error:  # such as that a folder above may not be entered
        raise ModelNotFound(f"{folder} cannot be read: {error.strerror}") from error


def _graphs(folder: Path, versions: str = "*") -> list[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        folder.stat()  # from Python 3.13 on, a pattern passes over a folder that may not be looked at
    # Not by a pattern with the file's name, which passes over what may not be looked at.
    graphs = [version / _GRAPH for version in folder.glob(versions)]
    return [graph for graph in graphs if version_of(graph) and _stamp(graph)]
