"""Which operator forges the next medium."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Operator = TypeVar("Operator")


def draw_operator(
    rng: np.random.Generator, operators: Mapping[str, tuple[Operator, float]]
) -> tuple[str, Operator]:
    """Name and operator, drawn by shares that sum up to 1."""
    name = str(rng.choice(list(operators), p=[share for _, share in operators.values()]))
    return name, operators[name][0]
