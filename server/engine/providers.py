"""Which execution provider runs the graph, with which options, and why."""

import contextlib
import functools
import io
import logging
from dataclasses import dataclass, field
from typing import Literal

import onnxruntime as ort

from server.engine import cuda
from server.engine.cores import usable_cores
from server.errors import EngineFailed

log = logging.getLogger(__name__)

Wish = Literal["auto", "cuda", "coreml", "cpu"]

_NAMES = {"cuda": "CUDAExecutionProvider", "coreml": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}

_OPTIONS: dict[str, dict[str, str]] = {
    # EXHAUSTIVE takes longer for each shape and gains nothing, tensor cores want their channels last, and
    # the default arena would double with each larger batch.
    "cuda": {
        "cudnn_conv_algo_search": "HEURISTIC",
        "prefer_nhwc": "1",
        "arena_extend_strategy": "kSameAsRequested",
    },
    "coreml": {"ModelFormat": "MLProgram"},
    "cpu": {},
}


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider to try.

    Attributes:
        name: ONNX Runtime's name.
        why: for the log and GetModel.
        workers: batches worth having in the engine at once.
        accepts_empty: whether inputs may have zero rows; CoreML refuses them, and old runtimes sum them to
            another shape.
        fixed_shapes: whether runs of another number of rows than the one before are slow.
        options: ONNX Runtime's for this provider.
    """

    name: str
    why: str
    workers: int
    accepts_empty: bool = True
    fixed_shapes: bool = False
    options: dict[str, str] = field(default_factory=dict)

    @property
    def on_cpu(self) -> bool:
        """Whether runs compute at the same time, each on cores of its own, and not in turn on a device."""
        return self.name == _NAMES["cpu"]


def candidates(wish: Wish) -> list[Provider]:
    """Providers to try, best first; a listed one can still fail when its libraries are missing.

    Raises:
        EngineFailed: the wished provider is not in this build of ONNX Runtime.
    """
    available = set(ort.get_available_providers())
    if _NAMES["cuda"] in available and wish in ("auto", "cuda"):
        _load_cuda()
    if wish != "auto":
        if _NAMES[wish] not in available:
            raise EngineFailed(
                f"this build of onnxruntime has no provider {wish}, only {', '.join(sorted(available))}",
                "Install the extra for it (gpu or silicon), or use --provider auto.",
            )
        return [_provider(wish, f"asked for with --provider {wish}")]
    built_in = [short for short in _NAMES if _NAMES[short] in available]
    return [_provider(short, f"first of {', '.join(built_in)} that works") for short in built_in]


@functools.cache
def _load_cuda() -> None:
    """Loads the libraries of CUDA and cuDNN, also those that pip installed where the system does not look."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints what is missing, which may be elsewhere
        ort.preload_dlls()
    if said.getvalue():
        log.info("%s", said.getvalue().strip())
    cuda.configure()


def _provider(short: str, why: str) -> Provider:
    # Convolutions gain nothing from batching on CPU: one thread a run and as many runs as
    # cores is fastest. Elsewhere a second worker assembles while the first one runs.
    workers = usable_cores() if short == "cpu" else 2
    return Provider(
        _NAMES[short],
        why,
        workers,
        accepts_empty=short != "coreml" and not _is_old(),
        fixed_shapes=short == "cuda",
        options=_OPTIONS[short],
    )


def _is_old() -> bool:
    """Whether this is ONNX Runtime up to 1.16, where onnxruntime-silicon stopped."""
    major, minor = ort.__version__.split(".")[:2]
    return (int(major), int(minor)) < (1, 17)
