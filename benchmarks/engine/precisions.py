"""How fast one detector is in each of its precisions, and what that costs in accuracy.

Sessions as the server has them on a CPU, one thread each and as many callers as cores, by turns on the same
photo-like rows. What a precision costs on labelled media is in its manifest, where the exporter put it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.material.media import photo_rows
from benchmarks.report.tables import Table, rate_rows
from benchmarks.report.turns import Report, by_turns
from benchmarks.yardstick.bare import BareSession, Layout
from benchmarks.yardstick.session import CPU
from server.engine.cores import usable_cores
from server.engine.manifest import Precision, Trade
from server.engine.repository import graph_file
from server.engine.session import Session

DIFFERENT_ROWS = 16
WARM_UP = 0.3
_HEADINGS = ("", "rows/s", "÷ fp32", "mean change", "largest", "AUC, fp32 → this", "on")


@dataclass(frozen=True, slots=True)
class Plan:
    """Which model.onnx, how many rounds, and seconds of each measurement."""

    model: Path
    rounds: int
    seconds: float


@dataclass(slots=True)
class Measured:
    """One precision.

    Attributes:
        rates: image rows a second, one number a round.
        differences: of each row's probability to fp32's.
        trade: what the exporter found.
    """

    trade: Trade | None
    rates: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)


def measure(plan: Plan, report: Report) -> dict[Precision, Measured]:
    """Runs the whole plan; `report` is told what is being measured.

    Raises:
        InvalidModel: a file is no detector.
        RuntimeError: the detector has no image model.
    """
    precisions: tuple[Precision, ...] = get_args(Precision)
    files = {name: graph_file(plan.model, name) for name in precisions}
    files = {name: file for name, file in files.items() if file.is_file()}
    manifests = {name: Session(file, "cpu").manifest for name, file in files.items()}
    base = manifests["fp32"]
    if base.image is None:
        raise RuntimeError(f"{plan.model} has no model for pictures")
    frames = photo_rows(base.height, base.width, DIFFERENT_ROWS)
    layout = Layout(1, usable_cores())
    sessions = {name: BareSession(file, CPU, layout, frames) for name, file in files.items()}
    measured = {name: Measured(manifest.trade) for name, manifest in manifests.items()}
    expected = np.asarray(sessions["fp32"].probabilities())
    for name, session in sessions.items():
        measured[name].differences = np.abs(np.asarray(session.probabilities()) - expected).tolist()
    for _, tell in by_turns(plan.rounds, report):
        for name, session in sessions.items():
            tell(name)
            measured[name].rates.append(session.sample(plan.seconds, WARM_UP).rate)
    return measured


def table(plan: Plan, measured: dict[Precision, Measured]) -> Table:
    rates = rate_rows({name: one.rates for name, one in measured.items()}, measured["fp32"].rates)
    rows = [
        [*row, f"{np.mean(one.differences):.1e}", f"{max(one.differences):.1e}", *_accuracy(one.trade)]
        for row, one in zip(rates, measured.values(), strict=True)
    ]
    title = f"{plan.model}: {usable_cores()} callers, 1 thread each, {plan.rounds} rounds"
    return Table(_HEADINGS, rows, title)


def _accuracy(trade: Trade | None) -> tuple[str, str]:
    change = trade.change.get("image") if trade else None
    if trade is None or change is None or change.auc is None:
        return "", ""
    return f"{change.auc_before:.4f} → {change.auc:.4f}", f"{change.files} {trade.measured_on}"
