"""How much of the bare training step's speed is left when `python -m training fit` feeds it from disk.

Measured in one run, by turns: the step alone, on one batch that lies in memory; the input pipeline alone,
reading, perturbing and augmenting rows that nobody learns from; and both together, as in an epoch of fit.
"""

import tempfile
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks.report.figures import figure
from benchmarks.report.tables import Table, rate_rows
from benchmarks.report.turns import Report, by_turns
from training.augment import augment_images
from training.batches import training_batches
from training.devices import make_deterministic, precision
from training.fit import compile_phase, phases
from training.models.image import build_image_model
from training.perturb.rows import row_perturbation
from training.rows import RowTable
from training.settings import FitSettings
from training.steps import make_step, run_steps


@dataclass(frozen=True, slots=True)
class Plan:
    """How many steps, how often, of which image model."""

    settings: FitSettings
    steps: int
    rounds: int


@dataclass(slots=True)
class Measured:
    """One number a round.

    Attributes:
        step, input, fit: rows a second, see above.
        waiting: share of fit's time in which the step had no batch yet.
    """

    step: list[float] = field(default_factory=list)
    input: list[float] = field(default_factory=list)
    fit: list[float] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)


def measure(plan: Plan, report: Report) -> Measured:
    """Runs the whole plan; `report` is told what is being measured."""
    settings, count = plan.settings, plan.steps * plan.settings.batch_size
    measured = Measured()
    make_deterministic(settings.seed)
    with precision(settings.mixed_precision):
        model = build_image_model(settings.backbone, settings.image_size, settings.image_size, "none")
        scorer = keras.Model(model.input, model.output["logit"])
    compile_phase(scorer, phases(settings)[-1], plan.steps, settings)
    with tempfile.TemporaryDirectory() as folder:
        table = _table(Path(folder) / "values.bin", count, settings.image_size)

        def batches(turn: int) -> tf.data.Dataset:
            perturb = row_perturbation("image", settings)
            return training_batches(
                table, np.arange(count), settings.batch_size, (settings.seed, turn), augment_images, perturb
            )

        kept = next(iter(batches(0)))
        step = make_step(scorer.train_step, tf.distribute.get_strategy(), batches(0))
        report("warming up")
        run_steps(step, repeat(kept), 2, 0, _nothing)
        for number, tell in by_turns(plan.rounds, report):
            tell("step alone")
            alone = run_steps(step, repeat(kept), plan.steps, count, _nothing)
            tell("input alone")
            read = run_steps(lambda _: 0.0, batches(number), plan.steps, count, _nothing)
            tell("fit")
            both = run_steps(step, batches(number), plan.steps, count, _nothing)
            measured.step.append(alone.rows_per_second)
            measured.input.append(read.rows_per_second)
            measured.fit.append(both.rows_per_second)
            measured.waiting.append(both.waiting_share)
    return measured


def _nothing() -> None:
    pass


def _table(file: Path, count: int, size: int) -> RowTable:
    """Rows of noise on disk, real and fake by turns."""
    random = np.random.default_rng(0)
    shape = (count, size, size, 3)
    values = np.memmap(file, np.uint8, "w+", shape=shape)
    for row in values:
        row[:] = random.integers(0, 256, shape[1:], np.uint8)
    labels = (np.arange(count) % 2).astype(np.int8)
    return RowTable(values, labels, np.arange(count + 1), [], [], "")


def table(plan: Plan, measured: Measured) -> Table:
    rates = {
        "training step alone, batch in memory": measured.step,
        "input alone": measured.input,
        "fit": measured.fit,
    }
    settings = plan.settings
    title = (
        f"{settings.backbone}, {settings.image_size} pixels, {plan.steps} steps of "
        f"{settings.batch_size} rows, median of {plan.rounds} rounds"
    )
    caption = f"fit waited for rows in {figure(measured.waiting).median:.1%} of its time"
    return Table(("", "rows/s", "÷ step"), rate_rows(rates, measured.step), title, caption)


def devices() -> list[str]:
    """What it was measured on."""
    return [device.name for device in tf.config.list_logical_devices()]
