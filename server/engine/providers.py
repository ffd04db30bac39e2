"""Which execution provider runs the graph, with which options, and why."""

import os
from dataclasses import dataclass, field
from typing import Any, Literal

import onnxruntime as ort

from server.errors import EngineFailed

Wish = Literal["auto", "cuda", "coreml", "cpu"]

_NAMES = {"cuda": "CUDAExecutionProvider", "coreml": "CoreMLExecutionProvider", "cpu": "CPUExecutionProvider"}

# Ragged batches change shape from run to run: EXHAUSTIVE would tune anew for each, and the
# default arena would double with each larger batch.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
_COREML_OPTIONS = {"ModelFormat": "MLProgram"}
_OPTIONS: dict[str, dict[str, Any]] = {"cuda": _CUDA_OPTIONS, "coreml": _COREML_OPTIONS, "cpu": {}}


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider to try.

    Attributes:
        name: ONNX Runtime's name.
        why: for the log and GetModel.
        workers: batches worth having in the engine at once.
        parallel: whether these workers compute at the same time, and not in turn on one device.
        accepts_empty: whether inputs may have zero rows; CoreML refuses them.
    """

    name: str
    why: str
    workers: int
    parallel: bool = True
    accepts_empty: bool = True
    options: dict[str, Any] = field(default_factory=dict)


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def candidates(wish: Wish) -> list[Provider]:
    """Providers to try, best first; a listed one can still fail when its libraries are missing.

    Raises:
        EngineFailed: the wished provider is not in this build of ONNX Runtime.
    """
    available = set(ort.get_available_providers())
    if wish != "auto":
        if _NAMES[wish] not in available:
            raise EngineFailed(
                f"this build of onnxruntime has no provider {wish}, only {', '.join(sorted(available))}",
                "Install the extra for it (gpu or silicon), or use --provider auto.",
            )
        return [_provider(wish, f"asked for with --provider {wish}")]
    built_in = [short for short in _NAMES if _NAMES[short] in available]
    return [_provider(short, f"first of {', '.join(built_in)} that works") for short in built_in]


def _provider(short: str, why: str) -> Provider:
    # Convolutions gain nothing from batching on CPU: one thread a run and as many runs as
    # cores is fastest. Elsewhere a second worker assembles while the first one runs.
    workers = usable_cores() if short == "cpu" else 2
    return Provider(_NAMES[short], why, workers, accepts_empty=short != "coreml", options=_OPTIONS[short])
