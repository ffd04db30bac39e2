"""The figures that follow from what a comparison measured: a line for each server under each load."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.compare.compared import Compared, Load, Turn
from benchmarks.report.figures import Figure, figure, milliseconds, percentile, percentiles_ms, ratio
from benchmarks.yardstick.sample import Sample, rates


@dataclass(frozen=True, slots=True)
class Line:
    """One server under one load; times in milliseconds, memory in MiB, processor seconds for 1 000 answers.

    Attributes:
        ratio: of the rate to the ceiling, round by round; in the open loop of the goodput to the capacity.
        failed: share of requests without an answer.
        failures: how many of them by status.
    """

    server: str
    load: Load
    rate: Figure
    p50: float
    p99: float
    p999: float
    good: Figure
    ratio: Figure | None
    cpu: float
    caller_cpu: float
    memory: float
    failed: float
    failures: dict[str, int] = field(default_factory=dict)


def closed_lines(compared: Compared) -> list[Line]:
    """The ceilings, then each server by number of clients."""
    best = compared.best_bare
    lines = [_bare_line(f"bare session, {best}", compared.bare[best])]
    if compared.decode:
        lines.append(_bare_line("bare decoders", compared.decode))
    for server, loads in compared.closed.items():
        for load, turns in loads.items():
            tops = compared.ceiling(load)
            # One that died has fewer turns than there were rounds.
            share = ratio([turn.rate for turn in turns], tops[: len(turns)])
            lines.append(_line(server, load, turns, share))
    return lines


def open_lines(compared: Compared) -> list[Line]:
    """Each server by offered load."""
    return [
        _line(server, load, turns, figure([turn.good / compared.capacity(server) for turn in turns]))
        for server, loads in compared.open.items()
        for load, turns in loads.items()
    ]


def ratios(ours: Mapping[Load, Sequence[Turn]], other: Mapping[Load, Sequence[Turn]]) -> dict[Load, Figure]:
    """Our rate over another server's, round by round, so that what slowed the machine slowed both."""
    return {
        load: figure([mine.rate / its.rate for mine, its in zip(ours[load], turns, strict=False) if its.rate])
        for load, turns in other.items()
        if ours.get(load) and any(turn.rate for turn in turns)
    }


def p99_ratio(ours: Sequence[Turn], other: Sequence[Turn]) -> float:
    """Of the 99th percentiles of all rounds; NaN without answers."""
    mine, its = (percentile(_pooled(turns), 99) for turns in (ours, other))
    return mine / its


def _bare_line(name: str, samples: Sequence[Sample]) -> Line:
    rate = figure(rates(samples))
    cpu = milliseconds([sample.cpu for sample in samples]).median
    p50, p99, p999 = percentiles_ms(_pooled(samples), 50, 99, 99.9)
    return Line(name, "", rate, p50, p99, p999, rate, None, cpu, 0.0, 0.0, 0.0)


def _line(server: str, load: Load, turns: Sequence[Turn], share: Figure) -> Line:
    pooled = _pooled(turns)
    p50, p99, p999 = percentiles_ms(pooled, 50, 99, 99.9)
    failures = sum((Counter(turn.failures) for turn in turns), Counter[str]())
    failed = failures.total()
    return Line(
        server=server,
        load=load,
        rate=figure([turn.rate for turn in turns]),
        p50=p50,
        p99=p99,
        p999=p999,
        good=figure([turn.good for turn in turns]),
        ratio=share,
        cpu=_known([turn.cpu for turn in turns]),
        caller_cpu=figure([turn.caller_cpu for turn in turns]).median,
        memory=_known([turn.memory for turn in turns]) / 2**20,
        failed=failed / max(1, failed + sum(turn.answered for turn in turns)),
        failures=dict(failures),
    )


def _known(measured: Sequence[float]) -> float:
    """The median of those turns that the server survived; NaN if none."""
    known = [one for one in measured if not math.isnan(one)]
    return figure(known).median if known else math.nan


def _pooled(rounds: Sequence[Turn | Sample]) -> list[float]:
    return [latency for one in rounds for latency in one.latencies]
