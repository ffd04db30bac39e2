import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.figures import Figure, figure
from benchmarks.report.results import machine, record, write
from training.settings import FitSettings


@dataclass(frozen=True, slots=True)
class Plan:
    model: Path
    settings: FitSettings
    clients: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, slots=True)
class Line:
    rate: Figure


def test_a_run_is_what_its_file_will_hold(tmp_path: Path) -> None:
    run = record(Plan(Path("a/model.onnx"), FitSettings()), lines=[Line(figure([1.0, 3.0]))])
    file = write(tmp_path / "results", "command", run)
    assert file.name.startswith("command-")
    assert json.loads(file.read_text()) == run
    assert run["plan"]["model"] == "a/model.onnx"
    assert run["plan"]["settings"]["backbone"] == FitSettings().backbone
    assert run["plan"]["clients"] == [1, 2]
    assert run["lines"] == [{"rate": {"median": 2.0, "half_spread": 1.0}}]
    assert run["machine"] == machine()
    assert run["packages"]["onnxruntime"]


def test_runs_do_not_overwrite_each_other(tmp_path: Path) -> None:
    assert write(tmp_path, "command", {}) != write(tmp_path, "command", {})
