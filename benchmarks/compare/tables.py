"""Tables of a comparison."""

from collections.abc import Mapping, Sequence

from benchmarks.compare.compared import Compared, Load, Turn
from benchmarks.compare.lines import Line, closed_lines, open_lines, p99_ratio, ratios
from benchmarks.peers.catalogue import OURS
from benchmarks.report.tables import Table

_TIMES = ("p50 ms", "p99 ms", "p99.9 ms")
_CLOSED = ("server", "load", "answers/s", "÷ ceiling", *_TIMES, "CPU s/1 000", "callers", "MiB", "failed")
_OPEN = ("server", "load", "good answers/s", "÷ capacity", *_TIMES, "failed")
_STARTS = ("server", "seconds to the first answer", "not measured because")


def tables(compared: Compared) -> list[Table]:
    """All that there is something in."""
    about = compared.about
    closed = [_closed_row(line) for line in closed_lines(compared)]
    found = [Table(_CLOSED, closed, f"{about}: closed loop")]
    if OURS in compared.closed and len(compared.closed) > 1:
        headings, rows = ("server", *compared.closed[OURS]), _against(compared.closed)
        found.append(Table(headings, rows, f"{about}: ours ÷ the other, answers/s (p99)"))
    if compared.open:
        opened = [_open_row(line) for line in open_lines(compared)]
        title = f"{about}: arrivals at random, good within {1000 * compared.deadline:.1f} ms"
        found.append(Table(_OPEN, opened, title))
    found.append(Table(_STARTS, _starts(compared), f"{about}: start"))
    return found


def _closed_row(line: Line) -> list[str]:
    costs = [f"{line.cpu:.2f}", f"{line.caller_cpu:.2f}", f"{line.memory:.0f}"]
    if not line.load:  # a ceiling has neither callers nor memory of its own
        costs[1:] = ["", ""]
    share = f"{line.ratio:.2f}" if line.ratio else ""
    return [line.server, line.load, str(line.rate), share, *_times(line), *costs, _failed(line)]


def _open_row(line: Line) -> list[str]:
    share = f"{line.ratio:.2f}" if line.ratio else ""
    return [line.server, line.load, str(line.good), share, *_times(line), _failed(line)]


def _against(closed: Mapping[str, Mapping[Load, Sequence[Turn]]]) -> list[list[str]]:
    ours = closed[OURS]
    rows = []
    for server, loads in closed.items():
        if server == OURS:
            continue
        found = ratios(ours, loads)
        cells = [
            f"{found[load]:.2f} ({p99_ratio(ours[load], loads[load]):.2f})" if load in found else ""
            for load in ours
        ]
        rows.append([server, *cells])
    return rows


def _starts(compared: Compared) -> list[list[str]]:
    started = [[name, f"{seconds:.1f}", ""] for name, seconds in compared.startup.items()]
    missing = [[name, "", why] for name, why in compared.missing.items()]
    return [*started, *missing]


def _times(line: Line) -> list[str]:
    return [f"{time:.1f}" if time >= 10 else f"{time:.2f}" for time in (line.p50, line.p99, line.p999)]


def _failed(line: Line) -> str:
    """The share, and the most frequent status."""
    if not line.failed:
        return ""
    status = max(line.failures, key=line.failures.__getitem__)
    return f"{100 * line.failed:.1f} % {status}"
