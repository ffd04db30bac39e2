import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.__main__ import main
from training.settings import FitSettings


def test_what_is_left_out_suits_the_modality_and_the_backbone() -> None:
    tiny = FitSettings(backbone="tiny").resolved("image")
    large = FitSettings(backbone="resnet50v2").resolved("video")
    assert (tiny.weights, large.weights) == ("none", "imagenet")
    assert FitSettings(backbone="resnet50v2").resolved("audio").weights == "none"
    assert FitSettings(epochs=3).resolved("audio").epochs == 3
    assert (tiny.epochs or 0) >= 1


def test_each_model_asks_for_its_own_rows_only() -> None:
    settings = FitSettings(window_seconds=2.0, image_size=96)
    spec = settings.row_spec("audio")
    assert (spec.want_images, spec.want_clips, spec.want_audio) == (False, False, True)
    assert (spec.window_samples, spec.height, spec.width) == (32_000, 96, 96)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--epochs", "0"], "epochs"),
        (["--backbone", "tiny", "--weights", "imagenet"], "no pretrained weights"),
        (["--clip-length", "2"], "clip_length"),
        (["--clip-stride-seconds", "inf"], "clip_stride_seconds"),
        (["--window-seconds", "inf"], "window_seconds"),
        (["--window-seconds", "0.00001"], "window_seconds"),
        (["--sample-rate", "4000", "--window-seconds", "0.25"], "window_seconds"),
        (["--seed", "5000000000"], "seed"),
    ],
)
def test_settings_out_of_range_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    (tmp_path / "real" / "images").mkdir(parents=True)
    (tmp_path / "real" / "images" / "a.jpg").touch()
    assert main(["fit", "--data-dir", str(tmp_path), *arguments]) == 1
    assert told in capsys.readouterr().out


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert main(["demo", "--data-dir", str(tmp_path)]) == 1
    assert "deepfake-detector[train]" in capsys.readouterr().out


def test_help_does_not_wait_for_tensorflow() -> None:
    script = "import sys, training.__main__ as m\ntry: m.main(['fit', '--help'])\nexcept SystemExit: pass\n"
    script += "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for flag in ("--media-types", "--no-fine-tune", "--max-samples", "--learning-rate", "--frames-per-video"):
        assert flag in shown.stdout


def test_an_error_is_shown_on_an_output_that_lacks_its_characters(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training", "fit", "--data-dir", str(tmp_path / "写真")]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    shown = subprocess.run(command, capture_output=True, env=environment)
    assert shown.returncode == 1
    assert rb"\u5199\u771f" in shown.stdout


@pytest.mark.parametrize("command", ["demo", "prepare raw", "fit", "evaluate --data-dir data"])
def test_no_command_goes_without_workers(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*command.split(), "--workers", "0"])
    assert "at least one is needed, not 0" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["--scale=nan", "--scale=inf", "--scale=0", "--scale=-1", "--version=0"])
def test_a_demo_that_cannot_end_well_does_not_begin(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--data-dir", str(tmp_path / "data"), "--output-dir", str(tmp_path), wrong])
    assert ended.value.code == 2
    assert not list(tmp_path.iterdir())
