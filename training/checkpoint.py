"""Where training stands after each epoch, in one file: a run that was killed goes on from there."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from server.media.spec import spec_hash
from training.errors import OtherTraining
from training.steps import Speed

Arrays = list[NDArray[np.generic]]
_PROGRESS = "progress"


def run_identity(settings: dict[str, Any], data_hash: str) -> dict[str, Any]:
    """What a run must share with one before it to go on from there."""
    return {**settings, "data": data_hash, "rows": spec_hash()}


class Progress(BaseModel, frozen=True):
    """What has been done.

    Attributes:
        run: what identifies the run: its settings and its data.
        phase, epoch: phases that are over, and epochs that are over in the next one.
        best: highest validation AUC of all phases; -1 before the first.
        phase_best, stale: the same of this phase, and epochs since then.
        history: metrics per epoch over all phases.
        speed: of all training steps.
    """

    run: dict[str, Any]
    phase: int = 0
    epoch: int = 0
    best: float = -1.0
    phase_best: float = -1.0
    stale: int = 0
    history: dict[str, list[float]] = {}
    speed: Speed = Speed()

    def after_epoch(self, logs: dict[str, float], speed: Speed) -> "Progress":
        """One epoch further."""
        auc = logs["val_auc"]
        better = auc > self.phase_best
        return self.model_copy(
            update={
                "epoch": self.epoch + 1,
                "best": max(self.best, auc),
                "phase_best": max(self.phase_best, auc),
                "stale": 0 if better else self.stale + 1,
                "history": {
                    name: [*self.history.get(name, []), float(value)] for name, value in logs.items()
                },
                "speed": self.speed + speed,
            }
        )

    def after_phase(self) -> "Progress":
        """At the start of the next phase."""
        return self.model_copy(update={"phase": self.phase + 1, "epoch": 0, "phase_best": -1.0, "stale": 0})


def save_checkpoint(path: Path, progress: Progress, model: keras.Model, write: bool = True) -> None:
    """Writes progress, weights, random states and the optimizer's state, all at once or not at all.

    Args:
        write: False where another worker does it; all workers must take part in reading the values.
    """
    values: dict[str, Any] = {f"value{n}": np.asarray(v) for n, v in enumerate(_variables(model))}
    if not write:
        return
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, **values | {_PROGRESS: np.asarray(progress.model_dump_json())})
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def save_model(path: Path, model: keras.Model) -> None:
    """Writes a `.keras` file whole: whoever reads it meanwhile finds the one before."""
    part = path.with_suffix(".part.keras")
    model.save(part)
    part.replace(path)


def read_checkpoint(path: Path, run: dict[str, Any]) -> tuple[Progress, Arrays] | None:
    """What `save_checkpoint` wrote for this run, or None.

    Raises:
        OtherTraining: it is of another run.
    """
    if not path.is_file():
        return None
    with np.load(path) as stored:
        progress = Progress.model_validate_json(str(stored[_PROGRESS]))
        if progress.run != run:
            raise OtherTraining(path, progress.run, run)
        return progress, [stored[f"value{number}"] for number in range(len(stored.files) - 1)]


def restore(model: keras.Model, values: Arrays) -> None:
    """Puts the values of a checkpoint into a model compiled as the one that it was made of."""
    for variable, value in zip(_variables(model), values, strict=True):
        variable.assign(value)


def _variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]
