"""The models that benchmarks measure with, made by a process of their own."""

import os
import subprocess
import sys
from pathlib import Path


def test_making_one_says_nothing_of_tensorflow_itself(tmp_path: Path) -> None:
    """As that no GPU was found, which reads like an error."""
    loud = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "benchmarks.material.keras_model"]
    for arguments in ([str(tmp_path), "tiny", "32"], [str(tmp_path), "--raw", str(tmp_path / "raw.onnx")]):
        made = subprocess.run([*command, *arguments], env=loud, capture_output=True, text=True, timeout=200)
        assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert (tmp_path / "raw.onnx").is_file()
