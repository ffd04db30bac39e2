"""Random draws that media are made and forged with."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Operator = TypeVar("Operator")


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """From `low` to `high`, both positive; all ratios are equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_operator(
    rng: np.random.Generator, operators: Mapping[str, tuple[Operator, float]]
) -> tuple[str, Operator]:
    """Which operator forges the next medium: name and operator, drawn by shares that sum up to 1."""
    name = str(rng.choice(list(operators), p=[share for _, share in operators.values()]))
    return name, operators[name][0]
