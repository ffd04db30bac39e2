"""What the command shows and keeps of a comparison, from made-up turns."""

from pathlib import Path

import pytest

pytest.importorskip("hpack", reason="needs the extra bench")

from typer.testing import CliRunner

from benchmarks.commands import app
from benchmarks.compare import commands
from benchmarks.compare.compared import Compared, Turn
from benchmarks.peers.catalogue import OURS
from benchmarks.report import console
from benchmarks.yardstick.sample import Sample


def compared(rate: float, wrong: int) -> dict[str, Compared]:
    turn = Turn(rate, rate, [0.01], {}, 1, 5.0, 0.5, 2**20, wrong)
    bare = {"only": [Sample(100, [0.01], 0.1)]}
    return {"work": Compared("made up", bare=bare, closed={OURS: {"1 client": [turn]}})}


def run(monkeypatch: pytest.MonkeyPatch, rate: float, wrong: int = 0) -> tuple[int, str]:
    monkeypatch.setattr(commands, "measure", lambda plan, report: compared(rate, wrong))
    done = CliRunner().invoke(app, ["compare", "--workloads", "tiny", "--seconds", "1"])
    return done.exit_code, done.output


def test_a_comparison_is_shown_kept_and_set_beside_the_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in (commands, console):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    status, first = run(monkeypatch, 90)
    assert status == 0
    assert "| ours | 1 client | 90.0 ±0.0 | 0.90 ±0.00 |" in first
    assert "no earlier run" in first
    status, second = run(monkeypatch, 45, wrong=3)
    assert status == 1
    assert "0.50 × the last run" in second
    assert "3 wrong answers" in second
    assert len(list(tmp_path.glob("compare-*.json"))) == 2


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--precision", "int8", "--model"),  # which is missing
        ("--clients", "1,x", "'x'"),
        ("--clients", "0", "above 0"),
        ("--open-loop", "80,-5", "above 0"),
        ("--open-loop", "80,nan", "above 0"),
        ("--open-loop", "inf", "above 0"),
    ],
)
def test_what_cannot_be_measured_is_a_wrong_command(option: str, value: str, told: str) -> None:
    done = CliRunner().invoke(app, ["compare", option, value])
    assert done.exit_code == 2
    assert told in done.output
