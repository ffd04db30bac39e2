"""Steps of the optimiser over the training rows, and how long they waited for rows."""

from collections.abc import Callable, Iterable
from math import isfinite
from time import perf_counter
from typing import Any

import tensorflow as tf
from pydantic import BaseModel

from training.errors import Diverged

Step = Callable[[Any], Any]


class Speed(BaseModel, frozen=True):
    """What training steps cost.

    Attributes:
        rows: learned from.
        seconds: of all steps, waiting included.
        waited: seconds in which the step had no batch yet, so that the accelerator had no work.
    """

    rows: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def __add__(self, other: "Speed") -> "Speed":
        return Speed(
            rows=self.rows + other.rows,
            seconds=self.seconds + other.seconds,
            waited=self.waited + other.waited,
        )

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def waiting_share(self) -> float:
        """Of the step time, from 0 to 1."""
        return self.waited / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        return f"{self.rows_per_second:.1f} rows/s, {self.waiting_share:.1%} of the time waiting for rows"


def make_step(compute: Step, strategy: tf.distribute.Strategy, batches: Any) -> Step:
    """A function from a batch of every replica to the mean loss.

    It is traced here, for batches like these, so that the time of no step includes tracing.

    Args:
        compute: `train_step` or `test_step` of a compiled model.
    """

    def step(batch: Any) -> Any:
        logs = strategy.run(compute, args=(batch,))
        return strategy.reduce(tf.distribute.ReduceOp.MEAN, logs["loss"], axis=None)

    traced = tf.function(step, input_signature=[batches.element_spec], autograph=False)
    traced.get_concrete_function()
    compiled: Step = traced
    return compiled


def run_steps(
    step: Step, batches: Iterable[Any], count: int, rows: int, on_step: Callable[[], None]
) -> Speed:
    """One epoch of `count` steps over `rows` rows.

    Raises:
        Diverged: the loss is no number any more.
    """
    arrivals = iter(batches)
    waited = 0.0
    started = perf_counter()
    for _ in range(count):
        asked = perf_counter()
        batch = next(arrivals)
        waited += perf_counter() - asked
        # Reading the loss waits for the device, or the next wait would be counted while it still works.
        if not isfinite(float(step(batch))):
            raise Diverged
        on_step()
    return Speed(rows=rows, seconds=perf_counter() - started, waited=waited)
