"""Tables of what was measured, for the terminal, for a README and for later comparison."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from benchmarks.ceiling.measure import Measured, Plan, Sample
from benchmarks.report.figures import Figure, figure, percentile
from server.engine.providers import usable_cores

HEADINGS = ("", "rows/s", "p50 ms", "p99 ms", "÷ ceiling", "CPU ms/row", "of it clients")
PACKAGES = ("onnxruntime", "grpcio", "protobuf", "numpy", "av")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; rates in rows a second, times in milliseconds, processor time per row.

    Attributes:
        ratio: to the ceiling, round by round; None where it makes no sense.
    """

    name: str
    rate: Figure
    p50: float
    p99: float
    cpu: float
    caller_cpu: float
    ratio: Figure | None = None

    def cells(self) -> list[str]:
        cpu = [f"{ms:.2f}" if ms else "" for ms in (self.cpu, self.caller_cpu)]
        ratio = f"{self.ratio.median:.2f} ±{self.ratio.half_spread:.2f}" if self.ratio else ""
        return [self.name, str(self.rate), f"{self.p50:.1f}", f"{self.p99:.1f}", ratio, *cpu]


def lines(measured: Measured) -> list[Line]:
    """One for each thing measured; the ceiling is the bare layout with the highest median rate."""
    best = max(measured.bare.values(), key=lambda samples: figure([s.rate for s in samples]).median)
    ceiling = [sample.rate for sample in best]
    return [
        *(_line(f"bare session, {layout}", samples, ceiling) for layout, samples in measured.bare.items()),
        *(
            _line(f"server, {number} clients", samples, ceiling)
            for number, samples in measured.served.items()
        ),
        _line("decode stage, photos", measured.decode, None),
    ]


def _line(name: str, samples: Sequence[Sample], ceiling: Sequence[float] | None) -> Line:
    rates = [sample.rate for sample in samples]
    latencies = [1000 * latency for sample in samples for latency in sample.latencies]
    # By turns, so that what slowed the machine in one round slowed both.
    ratio = figure([rate / top for rate, top in zip(rates, ceiling, strict=True)]) if ceiling else None
    return Line(
        name,
        figure(rates),
        percentile(latencies, 50),
        percentile(latencies, 99),
        1000 * figure([sample.cpu for sample in samples]).median,
        1000 * figure([sample.caller_cpu for sample in samples]).median,
        ratio,
    )


def rich_table(title: str, rows: Sequence[Line]) -> Table:
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading == "", justify="right" if heading else "left")
    for row in rows:
        table.add_row(*row.cells())
    return table


def markdown(rows: Sequence[Line]) -> str:
    cells = [list(HEADINGS), ["---"] * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def title(plan: Plan, measured: Measured) -> str:
    height, width = measured.size
    return (
        f"{plan.model.parents[2].name} {width} × {height} on {measured.provider}, {usable_cores()} cores, "
        f"median of {plan.rounds} rounds of {plan.seconds:g} s"
    )


def write_json(folder: Path, plan: Plan, measured: Measured, rows: Sequence[Line]) -> Path:
    """Writes the figures, and what they were measured with, into a new file of `folder`."""
    now = datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"ceiling-{now:%Y%m%d-%H%M%S}.json"
    content = {
        "created": now.isoformat(),
        "plan": {**asdict(plan), "model": str(plan.model)},
        "provider": measured.provider,
        "cores": usable_cores(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "lines": [asdict(row) for row in rows],
        "wrong_answers": measured.wrong,
        "failures": measured.failures,
    }
    file.write_text(json.dumps(content, indent=2) + "\n")
    return file
