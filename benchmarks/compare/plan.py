"""What a comparison measures, and for how long."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.compare.workloads import WORKLOADS
from benchmarks.peers.catalogue import BY_NAME
from benchmarks.yardstick.bare import layouts
from server.engine.cores import usable_cores
from server.engine.manifest import Precision

# What one measurement takes beside its clock, and one start, for the budget.
_EXTRA_SECONDS, _START_SECONDS = 0.7, 10.0
_LEAST_SECONDS, _MOST_SECONDS = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        workloads, peers: names, in the order in which they are measured.
        clients: in the closed loops.
        loads: of the open loops, as shares of each server's own capacity.
        seconds, warm_up: of each measurement.
        deadline: in service times, which are the fastest server's median with the fewest clients.
        model: an exported detector to use instead of each workload's own, in `precision`.
    """

    workloads: tuple[str, ...] = tuple(WORKLOADS)
    peers: tuple[str, ...] = tuple(BY_NAME)
    clients: tuple[int, ...] = (1, 8, 32, 128)
    loads: tuple[float, ...] = (0.5, 0.8, 0.95, 1.2)
    rounds: int = 3
    seconds: float = 2.0
    warm_up: float = 0.3
    deadline: float = 4.0
    model: Path | None = None
    precision: Precision = "fp32"

    def within(self, minutes: float) -> "Plan":
        """With as many seconds for each measurement as that leaves, if that is not more than it takes."""
        installed = [name for name in self.peers if not BY_NAME[name].missing()]
        each = len(installed) * (len(self.clients) + len(self.loads)) + len(layouts(usable_cores())) + 1
        measurements = self.rounds * len(self.workloads) * each
        starts = _START_SECONDS * len(installed) * len(self.workloads)
        left = (60 * minutes - starts) / measurements - self.warm_up - _EXTRA_SECONDS
        return replace(self, seconds=min(_MOST_SECONDS, max(_LEAST_SECONDS, left)))
