"""Runs of the past, each a JSON file: a new one is set beside the last of the same plan and machine."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.compare.compared import Compared, closed_lines, open_lines
from benchmarks.compare.measure import Plan
from server.engine.providers import usable_cores

_PREFIX = "compare"
_PACKAGES = ("onnxruntime", "grpcio", "protobuf", "numpy", "av")
# Less than this is what a quiet machine drifts by from one run to the next.
_NOTABLE = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """A rate that differs from the last run's by more than both runs' spread.

    Attributes:
        what: workload, server and load.
        ratio: now over then.
    """

    what: str
    ratio: float

    def __str__(self) -> str:
        return f"{self.what}: {self.ratio:.2f} × the last run"


def record(plan: Plan, compared: Mapping[str, Compared]) -> dict[str, Any]:
    """All figures, and what they were measured with, for `write` and `changes`."""
    return {
        "created": datetime.now(UTC).isoformat(),
        "plan": json.loads(json.dumps(asdict(plan))),
        "machine": machine(),
        "packages": {name: version(name) for name in _PACKAGES},
        "workloads": {
            name: {
                "about": one.about,
                "deadline": one.deadline,
                "closed": [asdict(line) for line in closed_lines(one)],
                "open": [asdict(line) for line in open_lines(one)],
                "startup": one.startup,
                "missing": one.missing,
                "wrong_answers": one.wrong,
            }
            for name, one in compared.items()
        },
    }


def machine() -> dict[str, Any]:
    """Runs on different ones are not compared."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else ""
    return {"cpu": model or platform.processor(), "cores": usable_cores(), "system": platform.system()}


def write(folder: Path, run: Mapping[str, Any]) -> Path:
    """A new file in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{_PREFIX}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.json"
    file.write_text(json.dumps(run, indent=1) + "\n")
    return file


def last(folder: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The youngest run in the folder with the same plan on the same machine."""
    for file in sorted(folder.glob(f"{_PREFIX}-*.json"), reverse=True):
        found: dict[str, Any] = json.loads(file.read_text())
        if found["plan"] == run["plan"] and found["machine"] == run["machine"]:
            return found
    return None


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """The notable ones, the worst first."""
    before = _rates(then)
    found = []
    for what, (median, half_spread) in _rates(now).items():
        if what not in before or not before[what][0]:
            continue
        old_median, old_half_spread = before[what]
        apart = abs(median - old_median)
        if apart > half_spread + old_half_spread and apart > _NOTABLE * old_median:
            found.append(Change(what, median / old_median))
    return sorted(found, key=lambda change: change.ratio)


def _rates(run: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Of each line; in the open loop the goodput's."""
    rates = {}
    for name, workload in run["workloads"].items():
        for kind, figure in (("closed", "rate"), ("open", "good")):
            lines: Sequence[Mapping[str, Any]] = workload[kind]
            for line in lines:
                what = ", ".join(filter(None, (name, line["server"], line["load"])))
                rates[what] = (line[figure]["median"], line[figure]["half_spread"])
    return rates
