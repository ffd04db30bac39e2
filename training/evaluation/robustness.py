"""What common processing leaves of the verdict: every perturbation at every level."""

import errno
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from rich.console import Console
from rich.progress import track

from training.ahead import begun_ahead
from training.evaluation.judge import Judge, Task
from training.evaluation.measure import BRIEF, by_file, heard
from training.evaluation.results import Robust
from training.perturb.files import perturbed
from training.perturb.table import perturbations

_AT_ONCE = 32
"""Files in memory."""


def measure_robustness(
    judge: Judge, files: Sequence[Callable[[], Task]], workers: int, console: Console
) -> list[Robust]:
    """The fused verdict on the same files after each perturbation.

    Level 0 is the files after decoding and encoding alone, so that curves start where the
    perturbation, not the new encoding, begins.

    Args:
        files: read when they are needed.
    """
    if not files:
        return []
    # Fresh processes: a forked one would inherit TensorFlow's locks.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        kinds = sorted({file().truth.kind for file in files})
        plan = [(kind, *step) for kind in kinds for step in _steps(kind)]
        return [
            _measure(judge, pool, files, *step)
            for step in track(plan, "perturbations", transient=True, console=console)
        ]


def _steps(kind: str) -> Iterator[tuple[str | None, int, str]]:
    yield None, 0, "encoded again"
    for entry in perturbations(kind):
        for number, value in enumerate(entry.levels, 1):
            yield entry.name, number, entry.unit.format(value)


def _measure(
    judge: Judge,
    pool: ProcessPoolExecutor,
    files: Sequence[Callable[[], Task]],
    kind: str,
    name: str | None,
    level: int,
    setting: str,
) -> Robust:
    tasks = (task for file in files if (task := file()).truth.kind == kind)
    answers = judge.judge(_perturbed(pool, tasks, name, level))
    judged = [file for file, _ in heard(answers, "fused")]
    return Robust(
        media=kind,
        perturbation=name or "none",
        level=level,
        setting=setting,
        files=len(judged),
        metrics=by_file(judged, "fused", BRIEF),
    )


def _perturbed(
    pool: ProcessPoolExecutor, tasks: Iterable[Task], name: str | None, level: int
) -> Iterator[Task]:
    begun = (
        (task, pool.submit(_attempt, task.content, task.truth.kind, name, level, _seed(task)))
        for task in tasks
    )
    for task, job in begun_ahead(begun, _AT_ONCE - 1):
        yield replace(task, content=job.result())


def _attempt(content: bytes | OSError, kind: str, name: str | None, level: int, seed: int) -> bytes | OSError:
    if isinstance(content, OSError):
        return content
    try:
        return perturbed(content, kind, name, level, seed)
    except Exception as error:  # whatever decoders raise: one file is not to cost the evaluation
        # Not the file as it was: that would count as one which withstood the perturbation.
        return OSError(errno.EINVAL, f"it cannot be perturbed: {error}")


def _seed(task: Task) -> int:
    """The same draw for a file at every level, and in every run."""
    return zlib.crc32(task.truth.path.encode())
