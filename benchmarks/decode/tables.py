"""The table of our decoders beside others."""

from benchmarks.decode.measure import Comparison, Plan
from benchmarks.report.figures import figure, milliseconds, ratio
from benchmarks.report.tables import Table

_HEADINGS = ("", "ms", "CPU ms", "÷ ours", "media/s", "CPU ms", "difference")


def table(comparison: Comparison, plan: Plan) -> Table:
    return Table(_HEADINGS, _rows(comparison), comparison.title, _caption(comparison, plan))


def _rows(comparison: Comparison) -> list[list[str]]:
    ours = comparison.measured[0].wall
    return [
        [
            one.decoder + (" (reduced)" if one.reduced else ""),
            str(milliseconds(one.wall)),
            f"{milliseconds(one.cpu).median:.1f}",
            f"{ratio(one.wall, ours).median:.2f}",
            f"{figure(one.rate).median:.1f}",
            f"{milliseconds(one.cpu_together).median:.1f}",
            f"{one.difference:.2f}",
        ]
        for one in comparison.measured
    ]


def _caption(comparison: Comparison, plan: Plan) -> str:
    missing = f"; not installed: {', '.join(comparison.missing)}" if comparison.missing else ""
    return f"one at a time, then {plan.workers} at a time; median of {plan.rounds} rounds{missing}"
