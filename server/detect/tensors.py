"""The graph's own tensors, as callers send and get them: checked, cut into subjects, joined again.

What the graph calls a request is a subject here, as one call may send several. Inputs may be left out: rows,
when there are none; the weights, for one subject with the model's own.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.detect.mailbox import Mailbox
from server.detect.plan import fusion_weights
from server.detect.request import Options, Stopwatch
from server.engine.batch import Rows, Scores, Tensors, empty_rows, without_idle_frames
from server.engine.engine import Engine
from server.engine.manifest import Manifest
from server.engine.signature import inputs_of, outputs_of
from server.errors import InvalidRequest
from server.urgency import Urgency

# Rows of the three modalities, and whose they are.
_ROWS = (("image_index", "image_request"), ("clip_index", "clip_request"), ("audio", "audio_request"))
# The modality whose rows an output follows; the others follow the subjects.
_PER_ROW = {"image_probability": 0, "image_heatmap": 0, "clip_probability": 1, "audio_probability": 2}
LOUDEST = 32768.0
"""Sound is in [-1, 1]. Integers by mistake are let through, but not what overflows in a spectrogram."""
# Subjects more than rows: one without any takes as long to split off, queue and join, and hardly a byte.
_IDLE_SUBJECTS = 16


async def infer(
    engine: Engine, tensors: Tensors, urgency: Urgency, max_rows: int, timing: Stopwatch, mailbox: Mailbox
) -> Tensors:
    """All outputs of the graph for these inputs.

    Each subject is a job of its own in the engine's queue, so that it shares runs with whatever else
    waits there, and many subjects are spread over the workers.

    Args:
        engine: to run them on.
        tensors: inputs by name.
        urgency: its priority and deadline.
        max_rows: pictures, frames of clips and windows together, at most; also subjects.
        timing: gets the wait and the run of the subject that took longest.
        mailbox: of this event loop.

    Raises:
        InvalidRequest: the inputs contradict the graph's contract.
        DeadlineExceeded, EngineFailed, ShuttingDown: as `Engine.submit`.
    """
    subjects = split(tensors, engine.manifest, max_rows)
    submitted = time.perf_counter()
    scores = await mailbox.bring_all(engine.submit(subject.rows, urgency) for subject in subjects)
    timing.ran(submitted, scores)
    return join(subjects, scores, engine.manifest)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged together.

    Attributes:
        rows: its own.
        places: int64 [I], [C], [A]: where its rows stood among those of all subjects.
    """

    rows: Rows
    places: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]


def split(tensors: Tensors, manifest: Manifest, max_rows: int) -> list[Subject]:
    """The subjects that the inputs hold.

    Raises:
        InvalidRequest: the inputs contradict the graph's contract.
    """
    full = _completed(tensors, manifest)
    _check_counts(full, max_rows)
    _check_values(full)
    owners = [full[owner] for _, owner in _ROWS]
    subjects = []
    for number, weights in enumerate(full["weights"]):
        images, clips, windows = (np.flatnonzero(owner == number) for owner in owners)
        rows = Rows(
            full["frames"],
            full["image_index"][images],
            full["clip_index"][clips],
            # The largest tensor but frames: no copy for a single subject.
            full["audio"] if len(windows) == len(full["audio"]) else full["audio"][windows],
            weights,
        )
        subjects.append(Subject(without_idle_frames(rows), (images, clips, windows)))
    return subjects


def join(subjects: Sequence[Subject], scores: Sequence[Scores], manifest: Manifest) -> Tensors:
    """The outputs as if all subjects had been one run of the graph."""
    joined: Tensors = {}
    for spec in outputs_of(manifest):
        parts = [getattr(score, spec.name) for score in scores]
        if spec.name not in _PER_ROW:
            joined[spec.name] = np.stack(parts).astype(spec.dtype, copy=False)
            continue
        places = np.concatenate([subject.places[_PER_ROW[spec.name]] for subject in subjects])
        by_subject = np.concatenate(parts)
        in_place = np.empty_like(by_subject)
        in_place[places] = by_subject
        joined[spec.name] = in_place
    return joined


def _completed(tensors: Tensors, manifest: Manifest) -> dict[str, NDArray[Any]]:
    """Every input that any graph may have, those given checked for type and shape."""
    specs = {spec.name: spec for spec in inputs_of(manifest)}
    for name, tensor in tensors.items():
        spec = specs.get(name)
        if spec is None:
            raise InvalidRequest(f"the model has no input {name!r}, only {', '.join(specs)}")
        if tensor.dtype != spec.dtype:
            raise InvalidRequest(f"{name} must be {np.dtype(spec.dtype)}, not {tensor.dtype}")
        if tensor.ndim != len(spec.shape) or tensor.shape[1:] != spec.shape[1:]:
            shape = ", ".join(map(str, spec.shape))
            raise InvalidRequest(f"{name} must have the shape [{shape}], not {list(tensor.shape)}")
    empty = empty_rows(manifest)
    nobody = np.zeros(0, np.int64)
    return {
        "frames": empty.frames,
        "image_index": empty.image_index,
        "image_request": nobody,
        "clip_index": empty.clip_index,
        "clip_request": nobody,
        "audio": empty.audio,
        "audio_request": nobody,
        "weights": fusion_weights(manifest, Options())[np.newaxis],
        **tensors,
    }


def _check_counts(full: dict[str, NDArray[Any]], max_rows: int) -> None:
    for rows, owners in _ROWS:
        if len(full[rows]) != len(full[owners]):
            raise InvalidRequest(f"{rows} has {len(full[rows])} rows, {owners} has {len(full[owners])}")
    total = len(full["image_index"]) + full["clip_index"].size + len(full["audio"])
    if total > max_rows:
        raise InvalidRequest(
            f"there are {total} pictures, frames of clips and windows, more than {max_rows}",
            "Send less at once.",
        )
    most = min(max_rows, total + _IDLE_SUBJECTS)
    if not 1 <= len(full["weights"]) <= most:
        raise InvalidRequest(
            f"weights must have 1 to {most} rows, not {len(full['weights'])}, for {total} pictures, frames "
            "of clips and windows"
        )


def _check_values(full: dict[str, NDArray[Any]]) -> None:
    for index in ("image_index", "clip_index"):
        _check_range(index, full[index], len(full["frames"]), "frames")
    for _, owners in _ROWS:
        _check_range(owners, full[owners], len(full["weights"]), "rows of weights")
    if not np.isfinite(full["weights"]).all() or (full["weights"] < 0).any():
        raise InvalidRequest("weights must be finite and >= 0")
    # Written so that it fails for NaN.
    if not (np.abs(full["audio"]) <= LOUDEST).all():
        raise InvalidRequest("audio must be finite sound in [-1, 1]")


def _check_range(name: str, values: NDArray[Any], count: int, of: str) -> None:
    if values.size and not 0 <= values.min() <= values.max() < count:
        raise InvalidRequest(f"{name} holds {values.min()} to {values.max()}, and there are {count} {of}")
