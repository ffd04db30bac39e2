"""Figures, tables and history of a comparison, from made-up turns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hpack", reason="needs the extra bench")

from benchmarks.compare import history
from benchmarks.compare.compared import Compared, Turn
from benchmarks.compare.lines import closed_lines, open_lines, p99_ratio, ratios
from benchmarks.compare.plan import Plan
from benchmarks.compare.tables import tables
from benchmarks.peers.catalogue import ECHO, OURS
from benchmarks.report.results import write
from benchmarks.yardstick.sample import Sample


def turn(rate: float, p99: float = 0.02, good: float = 0.0, **failures: int) -> Turn:
    latencies = [0.01] * 94 + [0.015] * 4 + [p99, 2 * p99]
    # Half as many again were answered before the clock or after it.
    return Turn(rate, good, latencies, failures, 150, 5.0, 0.5, 2**20, 0)


def compared(*rates: float) -> Compared:
    """Ours at `rates` in each round, beside a peer at 50 and 40."""
    return Compared(
        "made up",
        deadline=0.04,
        bare={
            "slow": [Sample(10, [0.1], 0.1)] * 2,
            "best": [Sample(100, [0.01], 0.1), Sample(80, [0.01], 0.1)],
        },
        closed={
            OURS: {"1 client": [turn(20), turn(20)], "8 clients": [turn(rate) for rate in rates]},
            "peer": {"1 client": [turn(10), turn(10)], "8 clients": [turn(50, 0.04), turn(40, 0.04)]},
        },
        open={OURS: {"120 %": [turn(90, good=60, DEADLINE_EXCEEDED=100), turn(90, good=70)]}},
        startup={OURS: 1.5},
        missing={"other": "not installed | yet"},
    )


def test_rates_are_set_beside_the_best_bare_layout_of_the_same_round() -> None:
    bare, one, eight, *_ = closed_lines(compared(90, 40))
    assert bare.server == "bare session, best"
    assert (one.server, one.load) == (OURS, "1 client")
    assert eight.ratio is not None
    assert (eight.ratio.median, eight.ratio.half_spread) == pytest.approx((0.7, 0.2))
    assert (eight.p50, eight.p99, eight.p999) == (10, 20, 40)
    assert (eight.cpu, eight.caller_cpu, eight.memory) == (5, 0.5, 1)


def test_the_ceiling_is_what_all_parts_allow_together() -> None:
    one = compared(90, 40)
    assert one.ceiling("8 clients") == [100, 80]
    one.decode = [Sample(100, [0.01], 0.1), Sample(80, [0.01], 0.1)]
    assert one.ceiling("8 clients") == [50, 40]
    one.closed[ECHO] = {"8 clients": [turn(45), turn(45)]}
    assert one.ceiling("8 clients") == [45, 40]
    assert one.ceiling("1 client") == [50, 40]
    one.cached = True
    assert one.ceiling("8 clients") == [45, 45]
    one.closed[ECHO]["8 clients"].pop()  # as it died
    assert one.ceiling("8 clients") == [50, 40]
    assert closed_lines(one)


def test_the_service_time_is_the_fastest_servers_that_answered() -> None:
    silent = Turn(0, 0, [], {"UNAVAILABLE": 1}, 0, 5.0, 0.5, 2**20, 0)
    slow = Turn(1, 0, [0.5], {}, 1, 5.0, 0.5, 2**20, 0)
    closed = {
        server: {"1 client": [one]} for server, one in (("silent", silent), ("slow", slow), (OURS, turn(20)))
    }
    closed["slow"]["8 clients"] = [Turn(1, 0, [0.001], {}, 1, 5.0, 0.5, 2**20, 0)]
    closed[ECHO] = {"1 client": [Turn(9, 0, [0.001], {}, 1, 5.0, 0.5, 2**20, 0)]}
    assert Compared("made up", closed=closed).service_time(1) == 0.01
    assert Compared("made up", closed={"silent": closed["silent"]}).service_time(1) == 0


def test_wrong_answers_under_every_load_count() -> None:
    one = compared(90, 40)
    for loads in (one.closed["peer"], one.open[OURS]):
        loads["8 clients"] = [replace(turn(1), wrong=2)]
    assert one.wrong == 4


def test_goodput_is_set_beside_the_own_capacity() -> None:
    (line,) = open_lines(compared(90, 70))
    assert (line.good.median, line.failed) == (65, 100 / 400)
    assert line.ratio is not None
    assert line.ratio.median == pytest.approx(65 / 80)


def test_servers_are_set_beside_each_other_round_by_round() -> None:
    one = compared(100, 40)
    found = ratios(one.closed[OURS], one.closed["peer"])
    assert (found["8 clients"].median, found["8 clients"].half_spread) == (1.5, 0.5)
    assert p99_ratio(one.closed[OURS]["8 clients"], one.closed["peer"]["8 clients"]) == 0.5
    assert ratios(one.closed[OURS], {"1 client": [turn(0), turn(0)], "2 clients": [turn(1)]}) == {}


def test_tables_hold_every_server_and_why_one_is_missing() -> None:
    found = tables(compared(100, 40))
    text = "\n".join(table.markdown() for table in found)
    assert "| peer | 2.00 ±0.00 (1.00) | 1.50 ±0.50 (0.50) |" in text
    assert "| other |  | not installed / yet |" in text
    assert all(len(row) == len(table.headings) for table in found for row in table.rows)


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra train")
    from benchmarks.compare.plots import plot

    plot(compared(100, 40), tmp_path / "plots" / "work.png")
    assert (tmp_path / "plots" / "work.png").read_bytes().startswith(b"\x89PNG")


def run(*rates: float, **plan: Any) -> dict[str, Any]:
    return history.record(Plan(**plan), {"work": compared(*rates)})


def test_a_rate_that_fell_beyond_the_spread_shows() -> None:
    (change,) = history.changes(run(100, 98), run(80, 78))
    assert str(change).startswith(f"work, {OURS}, 8 clients: 0.80 ×")
    assert history.changes(run(100, 60), run(80, 78)) == []  # within the spread
    assert history.changes(run(100, 99), run(95, 94)) == []  # as machines drift
    slower, faster = (
        history.changes(run(100, 98), run(130, 128)),
        history.changes(run(130, 128), run(100, 98)),
    )
    assert slower[0].ratio > 1 > faster[0].ratio


def test_in_the_open_loop_the_goodput_is_compared() -> None:
    then, now = run(100, 98), run(100, 98)
    now["workloads"]["work"]["open"][0]["good"] = {"median": 13.0, "half_spread": 0.0}
    (change,) = history.changes(then, now)
    assert str(change).startswith(f"work, {OURS}, 120 %: 0.20 ×")


def test_runs_are_compared_with_the_last_of_the_same_plan_and_machine(tmp_path: Path) -> None:
    now = run(100, 98)
    assert history.last(tmp_path, now) is None
    write(tmp_path, history.COMMAND, run(1, 1))
    write(tmp_path, history.COMMAND, run(50, 49))
    write(tmp_path, history.COMMAND, run(70, 69, rounds=7))
    write(tmp_path, history.COMMAND, {**run(80, 79), "machine": {"cpu": "another"}})
    (tmp_path / "compare-99991231-235959-000000.json").write_text('{"plan": {')  # as the disk was full
    found = history.last(tmp_path, now)
    assert found is not None
    lines = found["workloads"]["work"]["closed"]
    assert [line["rate"]["median"] for line in lines if line["server"] == OURS] == [20, 49.5]
