"""What the documents say that one may run is there."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("hpack", reason="needs the extra bench")

import psutil
from typer.testing import CliRunner

from benchmarks.commands import app

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["README.md", "benchmarks/README.md"])
def test_every_command_of_the_documents_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"python -m benchmarks ([a-z][-a-z]*)", text))
    assert named
    runner = CliRunner()
    assert [name for name in sorted(named) if runner.invoke(app, [name, "--help"]).exit_code] == []


@pytest.mark.parametrize("command", ["compare", "ceiling", "engine", "precisions", "startup", "soak"])
def test_a_model_that_is_not_there_is_a_wrong_command(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--model", "nowhere/1/model.onnx"])
    assert result.exit_code == 2
    assert "does not exist" in result.output


def test_a_command_that_is_ended_takes_its_server_with_it() -> None:
    command = [sys.executable, "-m", "benchmarks", "fuzz"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT) as process:
        end = time.monotonic() + 60
        servers: list[psutil.Process] = []
        while not any(one.net_connections("tcp") for one in servers):
            assert time.monotonic() < end
            time.sleep(0.05)
            servers = psutil.Process(process.pid).children()
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    _, left = psutil.wait_procs(servers, 10)
    for server in left:
        server.kill()
    assert not left


def test_every_folder_of_the_benchmarks_is_described() -> None:
    folders = {path.parent.name for path in (ROOT / "benchmarks").glob("*/__init__.py")}
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([a-z]+)\)", text)) == folders


@pytest.mark.parametrize(
    ("command", "module"), [("benchmarks", "psutil"), ("benchmarks.fuzz_probe", "atheris")]
)
def test_a_module_that_is_missing_is_named_with_the_extra_that_brings_it(command: str, module: str) -> None:
    code = (
        f"import runpy, sys; sys.modules[{module!r}] = None; runpy.run_module({command!r}, None, '__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 1
    assert module in done.stderr
    assert done.stderr.endswith("pip install 'deepfake-detector[bench]'\n")
    assert "Traceback" not in done.stderr
