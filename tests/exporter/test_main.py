"""The command line, in a process of its own as people run it."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import onnx
import pytest
from typer.testing import CliRunner

from exporter.__main__ import app
from tests.training_records import AddModel


def test_one_command_exports(add_model: AddModel, tmp_path: Path) -> None:
    add_model("audio")
    command = [sys.executable, "-m", "exporter", str(tmp_path), "--name", "mine", "--fake-threshold", "0.8"]
    command += ["--precisions", "fp32,int8"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "generated" in result.stdout
    written = {path.name for path in (tmp_path / "mine" / "1").iterdir()}
    assert written == {"model.onnx", "model.int8.onnx", "MODEL_CARD.md"}
    assert "unknown" in result.stdout
    assert "at or above 0.8 FAKE" in (tmp_path / "mine" / "1" / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(("package", "extra"), [("tensorflow", "train"), ("onnxruntime", "cpu")])
def test_without_the_extra_it_says_what_to_install(
    add_model: AddModel, tmp_path: Path, package: str, extra: str
) -> None:
    add_model("audio")
    code = f"import sys; sys.modules[{package!r}] = None; from exporter.__main__ import app; app()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "MISSING_PACKAGE" in result.stdout
    assert f"deepfake-detector[{extra}]" in result.stdout


def test_a_broken_file_ends_with_one_clear_error(add_model: AddModel, tmp_path: Path) -> None:
    add_model("audio")
    (tmp_path / "audio_model_best.keras").write_bytes(b"PK\x03\x04 cut")
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 1
    assert "INVALID_MODEL" in result.output
    assert "audio_model_best.keras" in result.output
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("*/*/model.onnx"))


@pytest.mark.parametrize(
    "error",
    [
        onnx.checker.ValidationError("Nodes in a graph must be topologically sorted"),
        onnx.shape_inference.InferenceError("Inferred shape and existing shape differ"),
    ],
)
@pytest.mark.parametrize(
    "step", ["exporter.export.clean", "exporter.export.build_detector", "exporter.precisions.quantize"]
)
def test_what_onnx_refuses_ends_with_one_clear_error(
    add_model: AddModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    add_model("audio")
    monkeypatch.setattr(step, Mock(side_effect=error))
    result = CliRunner().invoke(app, [str(tmp_path), "--precisions", "int8"])
    assert result.exit_code == 1
    assert "INVALID_MODEL" in result.output
    assert str(error) in result.output
    assert "report" in result.output or "Export without int8" in result.output
    assert not list(tmp_path.glob("*/*/model.onnx"))


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(tmp_path)])
    assert result.exit_code == 1
    assert "python -m training" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--real-threshold", "0.9", "--fake-threshold", "0.1"],
        ["--fake-threshold", "1.5"],
        ["--image-weight", "-1"],
        ["--name", "../elsewhere"],
        ["--version", "0"],
        ["--media-dir", "nowhere"],
        ["--data-dir", "nowhere"],
        ["--precisions", "fp32,int4"],
    ],
)
def test_impossible_options_are_named(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert arguments[-2] in result.output
