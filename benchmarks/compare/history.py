"""Comparisons of the past: a new one is set beside the last of the same plan on the same machine."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compare.compared import Compared
from benchmarks.compare.lines import closed_lines, open_lines
from benchmarks.compare.plan import Plan
from benchmarks.report import results

COMMAND = "compare"
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
    """All figures, and what they were measured with, for `changes` and later runs."""
    return results.record(plan, workloads={name: _figures(one) for name, one in compared.items()})


def _figures(compared: Compared) -> dict[str, Any]:
    return {
        "about": compared.about,
        "deadline": compared.deadline,
        "closed": closed_lines(compared),
        "open": open_lines(compared),
        "startup": compared.startup,
        "missing": compared.missing,
        "wrong_answers": compared.wrong,
    }


def last(folder: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """The youngest run in the folder with the same plan on the same machine."""
    for file in sorted(folder.glob(f"{COMMAND}-*.json"), reverse=True):
        try:
            found: dict[str, Any] = json.loads(file.read_text())
        except ValueError:  # cut, because the disk was full
            continue
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
