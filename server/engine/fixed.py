"""Runs of a few fixed shapes, on memory that stays where it is.

On CUDA that makes a run one call: ONNX Runtime captures it as a CUDA graph, which is replayed from then on,
instead of hundreds of kernels of which each takes longer to launch than to run. What was captured is replayed
in the thread that did it only, so each has its own, on memory of its own; their runs share a session, whose
stream lets the device do one after the other.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from math import prod

import numpy as np
import onnxruntime as ort

from server.engine.batch import Counts, Rows, Tensors, fill
from server.engine.cores import usable_cores
from server.engine.cuda import TURNS, Memory
from server.engine.manifest import Manifest
from server.engine.shapes import Shapes
from server.errors import EngineFailed

log = logging.getLogger(__name__)

Open = Callable[[Mapping[str, int], bool], ort.InferenceSession]
"""Opens the graph with sizes of its named dimensions, and for runs that are captured or not."""

_TYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
}
_ALIGNMENT = 256
_NOT_CAPTURED = ("gpu_graph_id", "-1")


class FixedRuns:
    """Of one graph. `run` may be called from several threads at once.

    Args:
        opened: opens the graph.
        manifest: of the graph.
        shapes: that runs are filled up to.
        cuda: whether it runs on CUDA, where runs of common shapes are captured if the graph allows it.
    """

    def __init__(self, opened: Open, manifest: Manifest, shapes: Shapes, cuda: bool) -> None:
        self.shapes = shapes
        self._opened, self._manifest, self._cuda = opened, manifest, cuda
        self._captures = cuda
        self._sessions: dict[Counts, ort.InferenceSession] = {}
        self._opening = threading.Lock()
        self._own = _OfThread()

    def prepare(self) -> None:
        """Makes all common shapes ready, in this thread, too; the first runs can take seconds.

        Raises:
            EngineFailed: the device has no room.
            Exception: as ONNX Runtime does, if the graph cannot be run.
        """
        try:
            self._prepare()
        except EngineFailed:  # no room, captured or not
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            if not self._captures:
                raise
            log.warning("runs cannot be captured as CUDA graphs, and small ones take longer: %s", error)
            self._captures = False
            self._sessions.clear()
            self._own.runs.clear()
            self._prepare()

    def attach(self) -> None:
        """Makes all common shapes ready in this thread."""
        for shape in self.shapes.all():
            self._mine(shape)

    def run(self, requests: Sequence[Rows]) -> Tensors:
        """The graph's outputs for these requests, followed by some that mean nothing."""
        return self._mine(self.shapes.around(requests)).run(requests, self._manifest)

    def _prepare(self) -> None:
        missing = [shape for shape in self.shapes.all() if shape not in self._sessions]
        if missing:
            log.info("preparing runs of %d shapes, each of which can take seconds", len(missing))
        # What cuDNN prepares is compiled on one core for each.
        with ThreadPoolExecutor(usable_cores()) as pool:
            self._sessions.update(zip(missing, pool.map(self._open, missing), strict=True))
        self.attach()

    def _mine(self, shape: Counts) -> "_Run":
        runs = self._own.runs
        if shape not in runs:
            session = self._session(shape)
            with TURNS.together():
                run = _Run(session, self._dimensions(shape), self._cuda)
            if self._captured(shape):
                with TURNS.alone():
                    run.capture()
            runs[shape] = run
        return runs[shape]

    def _session(self, shape: Counts) -> ort.InferenceSession:
        with self._opening:
            if shape not in self._sessions:
                log.info("a run of %d images, %d clips and %d windows has to be prepared first", *shape)
                self._sessions[shape] = self._open(shape)
            return self._sessions[shape]

    def _open(self, shape: Counts) -> ort.InferenceSession:
        dimensions = self._dimensions(shape)
        session = self._opened(dimensions, self._captured(shape))
        with TURNS.together():
            _Run(session, dimensions, self._cuda).prepare()
        return session

    def _captured(self, shape: Counts) -> bool:
        # Larger ones gain little, and no request shall make all others wait: captures are made only while a
        # model is loaded. Nothing frees memory then, as what was replaced is gone before another is loaded.
        return self._captures and shape in self.shapes.all()

    def _dimensions(self, shape: Counts) -> dict[str, int]:
        images, clips, windows = shape
        clip_length = self._manifest.video.clip_length if self._manifest.video else 0
        return {
            "I": images,
            "C": clips,
            "A": windows,
            "F": images + clips * clip_length,
            # One more than requests can be, for the rows that fill the run up.
            "R": images + clips + windows + 1,
        }


class _Run:
    """One shape in one thread."""

    def __init__(self, session: ort.InferenceSession, dimensions: Mapping[str, int], cuda: bool) -> None:
        self._session, self._binding = session, session.io_binding()
        # The frames last: what a batch does not need of them is not copied.
        given = sorted(session.get_inputs(), key=lambda one: one.name == "frames")
        self._inputs = _Tensors(given, dimensions, cuda)
        self._outputs = _Tensors(session.get_outputs(), dimensions, cuda)
        self._inputs.bind(self._binding.bind_input)
        self._outputs.bind(self._binding.bind_output)

    def prepare(self) -> None:
        """Runs it on zeros without capturing, where it would be captured."""
        options = ort.RunOptions()
        options.add_run_config_entry(*_NOT_CAPTURED)
        self._session.run_with_iobinding(self._binding, options)

    def capture(self) -> None:
        """Runs it on zeros, which ONNX Runtime captures."""
        self._session.run_with_iobinding(self._binding)

    def run(self, requests: Sequence[Rows], manifest: Manifest) -> Tensors:
        """As of `FixedRuns`."""
        frames = fill(self._inputs.by_name, requests, manifest)
        with TURNS.together():
            self._inputs.memory.upload(self._inputs.end_of(frames))
            self._session.run_with_iobinding(self._binding)
            self._outputs.memory.download()
        return {name: tensor.copy() for name, tensor in self._outputs.by_name.items()}


class _OfThread(threading.local):
    """Each thread that looks finds its own."""

    def __init__(self) -> None:
        self.runs: dict[Counts, _Run] = {}


class _Tensors:
    """The inputs or outputs of a graph, side by side in one block of memory: one copy moves them all."""

    def __init__(self, described: Sequence[ort.NodeArg], dimensions: Mapping[str, int], cuda: bool) -> None:
        kinds = {one.name: np.dtype(_TYPES[one.type]) for one in described}
        shapes = {one.name: [dimensions.get(size, size) for size in one.shape] for one in described}
        sizes: list[int] = [prod(shapes[name]) * kind.itemsize for name, kind in kinds.items()]
        *starts, end = accumulate((-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes), initial=0)
        self.memory = Memory(max(end, _ALIGNMENT), cuda)
        self._starts: dict[str, int] = dict(zip(kinds, starts, strict=True))
        self.by_name: Tensors = {
            name: self.memory.host[start : start + size].view(kinds[name]).reshape(shapes[name])
            for (name, start), size in zip(self._starts.items(), sizes, strict=True)
        }

    def bind(self, to: Callable[..., None]) -> None:
        for name, tensor in self.by_name.items():
            address = self.memory.address + self._starts[name]
            to(name, self.memory.device, 0, tensor.dtype.type, tensor.shape, address)

    def end_of(self, frames: int) -> int:
        """Bytes from the start to the end of so many frames, behind which nothing else is."""
        if "frames" not in self.by_name:
            return self.memory.host.nbytes
        return self._starts["frames"] + int(self.by_name["frames"][:frames].nbytes)
