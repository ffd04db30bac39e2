"""How fast one detector is in each of its precisions, and what that costs in accuracy.

Sessions as the server has them on a CPU, one thread each and as many callers as cores, by turns on the same
photo-like rows. What a precision costs on labelled media is in its manifest, where the exporter put it.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import numpy as np
from rich.table import Table

from benchmarks.material.media import photo
from benchmarks.report.figures import figure
from benchmarks.yardstick.bare import BareSession, Layout, closed_loop
from server.engine.manifest import Precision, Trade
from server.engine.processor import features
from server.engine.providers import usable_cores
from server.engine.repository import graph_file
from server.engine.session import Session

DIFFERENT_ROWS = 16
WARM_UP = 0.3
PACKAGES = ("onnxruntime", "numpy")


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


def measure(plan: Plan, report: Callable[[str], None]) -> dict[Precision, Measured]:
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
    frames = np.stack([photo(base.width, base.height, seed) for seed in range(DIFFERENT_ROWS)])
    layout = Layout(1, usable_cores())
    sessions = {
        name: BareSession(file, "CPUExecutionProvider", layout, frames) for name, file in files.items()
    }
    measured = {name: Measured(manifest.trade) for name, manifest in manifests.items()}
    expected = np.asarray(sessions["fp32"].probabilities())
    for name, session in sessions.items():
        measured[name].differences = np.abs(np.asarray(session.probabilities()) - expected).tolist()
    for number in range(plan.rounds):
        for name, session in sessions.items():
            report(f"round {number + 1} of {plan.rounds}: {name}")
            runs = closed_loop(session.run, layout.callers, plan.seconds, WARM_UP)
            measured[name].rates.append(len(runs) / plan.seconds)
    return measured


def rich_table(plan: Plan, measured: dict[Precision, Measured]) -> Table:
    table = Table(title=f"{plan.model}: {usable_cores()} callers, 1 thread each, {plan.rounds} rounds")
    for heading in ("", "rows/s", "÷ fp32", "mean change", "largest", "AUC, fp32 → this", "on"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, one in measured.items():
        pairs = zip(one.rates, measured["fp32"].rates, strict=True)
        # By turns, so that what slowed the machine in one round slowed both.
        ratio = figure([rate / base for rate, base in pairs])
        mean, largest = np.mean(one.differences), max(one.differences)
        table.add_row(
            name,
            str(figure(one.rates)),
            f"{ratio.median:.2f} ±{ratio.half_spread:.2f}",
            f"{mean:.1e}",
            f"{largest:.1e}",
            *_accuracy(one.trade),
        )
    return table


def _accuracy(trade: Trade | None) -> tuple[str, str]:
    change = trade.change.get("image") if trade else None
    if trade is None or change is None or change.auc is None:
        return "", ""
    return f"{change.auc_before:.4f} → {change.auc:.4f}", f"{change.files} {trade.measured_on}"


def write_json(folder: Path, plan: Plan, measured: dict[Precision, Measured]) -> Path:
    """Writes the figures, and what they were measured with, into a new file of `folder`."""
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"precisions-{now:%Y%m%d-%H%M%S}.json"
    content = {
        "created": now.isoformat(),
        "plan": {**asdict(plan), "model": str(plan.model)},
        "processor": features(),
        "packages": {name: version(name) for name in PACKAGES},
        "precisions": {
            name: {
                "rows_per_second": one.rates,
                "differences": one.differences,
                "trade": one.trade and one.trade.model_dump(mode="json"),
            }
            for name, one in measured.items()
        },
    }
    file.write_text(json.dumps(content, indent=2) + "\n")
    return file
