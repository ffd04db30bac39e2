"""Which execution provider runs the graph, with which options, and why."""

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import onnxruntime as ort

from server.errors import EngineFailed

Wish = Literal["auto", "cuda", "coreml", "cpu"]

# In a container, its own group is mounted as the root.
_CGROUP = Path("/sys/fs/cgroup")

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
        accepts_empty: whether inputs may have zero rows; CoreML refuses them.
    """

    name: str
    why: str
    workers: int
    accepts_empty: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def on_cpu(self) -> bool:
        """Whether runs compute at the same time, each on cores of its own, and not in turn on a device."""
        return self.name == _NAMES["cpu"]


def usable_cores() -> int:
    """Cores that this process may run on, or have the time of."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota())))


def _quota() -> float:
    """Cores' worth of time that a container may use (control groups 2 and 1); infinite outside of one."""
    try:
        if (limit := _CGROUP / "cpu.max").exists():
            quota, period = limit.read_text(encoding="ascii").split()
        else:
            quota, period = (
                (_CGROUP / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii")
                for name in ("quota", "period")
            )
        share = float(quota) / float(period)
    except (OSError, ValueError):  # "max" is no number
        return math.inf
    return share if share > 0 else math.inf


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
