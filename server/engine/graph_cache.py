"""Copies of graphs as ONNX Runtime optimised them for this machine, so that the next start is faster.

A copy is good for one file, one build of ONNX Runtime and one processor: convolutions are laid out for
the width of its vectors. Its name is a hash of all that, and a checksum of what is in it. What is not
what its name says is not used, and written anew.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import mmap
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort

from server.engine.processor import instructions

log = logging.getLogger(__name__)

_UNFINISHED = "deepfake-unfinished-"
_UNUSED_SECONDS = 30 * 24 * 3600


def default_folder() -> Path | None:
    """Where caches of a user belong (XDG base directories); None for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if Path(given).is_absolute():
        return Path(given) / "deepfake-detector"
    try:
        return Path.home() / ".cache" / "deepfake-detector"
    except RuntimeError:
        return None


class GraphCache:
    """One folder, which several processes may use at once. Trouble with it is logged, and never an error.

    Args:
        folder: created when it is needed, for this user only.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(
        self, graph: Path, options: Callable[[], ort.SessionOptions], providers: list[Any]
    ) -> ort.InferenceSession:
        """A session of the copy, or of the graph, which leaves a copy for the next time.

        Args:
            options: makes them anew for each session that is tried.
            providers: (name, options) of execution providers, as ONNX Runtime takes them.

        Raises:
            Exception: as ONNX Runtime does, if the graph cannot be loaded.
        """
        key = _key(graph, providers)
        for copy in self._copies(key):
            try:
                return _open_copy(copy, options(), providers)
            except Exception as error:  # ONNX Runtime's exceptions share no public base class
                log.warning("%s is not used: %s", copy, error)
                with contextlib.suppress(OSError):
                    copy.unlink()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=_UNFINISHED) as folder:
                written = Path(folder) / "graph.onnx"
                writing = options()
                writing.optimized_model_filepath = str(written)
                session = ort.InferenceSession(graph, writing, providers=providers)
                written.replace(self.folder / f"{key}-{_checksum(written):08x}.onnx")
            self._forget_unused()
        except Exception as error:
            # Is it the folder or the graph? The graph alone will tell.
            session = ort.InferenceSession(graph, options(), providers=providers)
            log.info("no optimised copy of %s is kept: %s", graph, error)
        return session

    def recall(self, graph: Path, about: str) -> Any:
        """What was remembered; None if nothing is, or it cannot be read."""
        try:
            return json.loads(self._note(graph, about).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def remember(self, graph: Path, about: str, value: Any) -> None:
        """Keeps what was found out about a graph on this machine; `value` must be JSON."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self.folder, prefix=_UNFINISHED, delete=False, encoding="utf-8"
            ) as file:
                json.dump(value, file)
            Path(file.name).replace(self._note(graph, about))

    def _copies(self, key: str) -> list[Path]:
        try:
            return list(self.folder.glob(f"{key}-*.onnx"))
        except OSError:  # the way there may be closed to this user; that is logged when one is to be written
            return []

    def _note(self, graph: Path, about: str) -> Path:
        return self.folder / f"{_key(graph, [about])}.json"

    def _forget_unused(self) -> None:
        # The last are of those that were killed while they wrote.
        kinds = ("*.onnx", "*.json", f"{_UNFINISHED}*")
        for file in itertools.chain.from_iterable(map(self.folder.glob, kinds)):
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > _UNUSED_SECONDS:
                    shutil.rmtree(file) if file.is_dir() else file.unlink()


def _key(graph: Path, about: list[Any]) -> str:
    # Like the repository, this takes a file for unchanged if its stat is; reading it all would take
    # longer than optimising it.
    stat = graph.stat()
    file = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    facts = (str(graph.resolve()), file, ort.__version__, ort.get_build_info(), instructions(), about)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _open_copy(copy: Path, options: ort.SessionOptions, providers: list[Any]) -> ort.InferenceSession:
    if copy.stem.rpartition("-")[2] != f"{_checksum(copy):08x}":
        raise ValueError("its checksum is wrong")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(copy, options, providers=providers)
    with contextlib.suppress(OSError):
        os.utime(copy)
    return session


def _checksum(file: Path) -> int:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return zlib.crc32(content)
