"""The table of the server beside its ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.ceiling.measure import Measured, Plan
from benchmarks.report.figures import Figure, best, figure, milliseconds, percentiles_ms, ratio
from benchmarks.report.tables import Table
from benchmarks.yardstick.sample import Sample, rates
from server.engine.cores import usable_cores

_HEADINGS = ("", "rows/s", "p50 ms", "p99 ms", "÷ ceiling", "CPU ms/row", "of it clients")


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
        ratio = f"{self.ratio:.2f}" if self.ratio else ""
        return [self.name, str(self.rate), f"{self.p50:.1f}", f"{self.p99:.1f}", ratio, *cpu]


def lines(measured: Measured) -> list[Line]:
    """One for each thing measured; the ceiling is the bare layout with the highest median rate."""
    bare = {layout: rates(samples) for layout, samples in measured.bare.items()}
    ceiling = bare[best(bare)]
    return [
        *(_line(f"bare session, {layout}", samples, ceiling) for layout, samples in measured.bare.items()),
        *(
            _line(f"server, {number} clients", samples, ceiling)
            for number, samples in measured.served.items()
        ),
        _line("decode stage, photos", measured.decode, None),
        *(
            _line(f"server, photos, {number} clients", samples, None)
            for number, samples in measured.photos.items()
        ),
    ]


def _line(name: str, samples: Sequence[Sample], ceiling: Sequence[float] | None) -> Line:
    found = rates(samples)
    latencies = [latency for sample in samples for latency in sample.latencies]
    p50, p99 = percentiles_ms(latencies, 50, 99)
    return Line(
        name,
        figure(found),
        p50,
        p99,
        milliseconds([sample.cpu for sample in samples]).median,
        milliseconds([sample.caller_cpu for sample in samples]).median,
        ratio(found, ceiling) if ceiling else None,
    )


def table(plan: Plan, measured: Measured) -> Table:
    height, width = measured.size
    title = (
        f"{plan.model.parents[2].name} {width} × {height} on {measured.provider}, {usable_cores()} cores, "
        f"median of {plan.rounds} rounds of {plan.seconds:g} s"
    )
    return Table(_HEADINGS, [line.cells() for line in lines(measured)], title)
