"""Tables of a comparison, for the terminal and for a README."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from benchmarks.compare.compared import (
    Compared,
    Line,
    Load,
    Turn,
    closed_lines,
    open_lines,
    p99_ratio,
    ratios,
)
from benchmarks.peers.catalogue import OURS
from benchmarks.report.figures import Figure

Rows = list[list[str]]


def tables(compared: Compared) -> list[tuple[str, Rows]]:
    """Each a title and its rows, the first of which are headings."""
    found = [(f"{compared.about}: closed loop", _closed(closed_lines(compared)))]
    if OURS in compared.closed and len(compared.closed) > 1:
        found.append((f"{compared.about}: ours ÷ the other, answers/s (p99)", _against(compared.closed)))
    if compared.open:
        title = f"{compared.about}: arrivals at random, good within {1000 * compared.deadline:.1f} ms"
        found.append((title, _open(open_lines(compared))))
    found.append((f"{compared.about}: start", _starts(compared)))
    return found


def rich_table(title: str, rows: Rows) -> Table:
    table = Table(title=title)
    for heading in rows[0]:
        table.add_column(
            heading, no_wrap=heading == "server", justify="left" if heading == "server" else "right"
        )
    for row in rows[1:]:
        table.add_row(*row)
    return table


def markdown(rows: Rows) -> str:
    cells = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells)


def _closed(lines: Sequence[Line]) -> Rows:
    headings = [
        "server",
        "load",
        "answers/s",
        "÷ ceiling",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "CPU s/1 000",
        "callers",
    ]
    return [[*headings, "MiB", "failed"], *(_closed_row(line) for line in lines)]


def _closed_row(line: Line) -> list[str]:
    times = [_milliseconds(time) for time in (line.p50, line.p99, line.p999)]
    costs = [f"{line.cpu:.2f}", f"{line.caller_cpu:.2f}", f"{line.memory:.0f}"]
    if not line.load:  # a ceiling has neither callers nor memory of its own
        costs[1:] = ["", ""]
    return [line.server, line.load, str(line.rate), _ratio(line.ratio), *times, *costs, _failed(line)]


def _open(lines: Sequence[Line]) -> Rows:
    headings = ["server", "load", "good answers/s", "÷ capacity", "p50 ms", "p99 ms", "p99.9 ms", "failed"]
    rows = [
        [
            line.server,
            line.load,
            str(line.good),
            _ratio(line.ratio),
            *(_milliseconds(time) for time in (line.p50, line.p99, line.p999)),
            _failed(line),
        ]
        for line in lines
    ]
    return [headings, *rows]


def _against(closed: Mapping[str, Mapping[Load, Sequence[Turn]]]) -> Rows:
    ours = closed[OURS]
    rows = []
    for server, loads in closed.items():
        if server == OURS:
            continue
        found = ratios(ours, loads)
        cells = [
            f"{_ratio(found[load])} ({p99_ratio(ours[load], loads[load]):.2f})" if load in found else ""
            for load in ours
        ]
        rows.append([server, *cells])
    return [["server", *ours], *rows]


def _starts(compared: Compared) -> Rows:
    started = [[name, f"{seconds:.1f}", ""] for name, seconds in compared.startup.items()]
    missing = [[name, "", why] for name, why in compared.missing.items()]
    return [["server", "seconds to the first answer", "not measured because"], *started, *missing]


def _milliseconds(time: float) -> str:
    return f"{time:.1f}" if time >= 10 else f"{time:.2f}"


def _ratio(ratio: Figure | None) -> str:
    return f"{ratio.median:.2f} ±{ratio.half_spread:.2f}" if ratio else ""


def _failed(line: Line) -> str:
    """The share, and the most frequent status."""
    if not line.failed:
        return ""
    status = max(line.failures, key=line.failures.__getitem__)
    return f"{100 * line.failed:.1f} % {status}"
