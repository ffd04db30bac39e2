"""What the documents say that one may run is there."""

import re
from pathlib import Path

import pytest

pytest.importorskip("psutil", reason="needs the extra bench")
pytest.importorskip("hpack", reason="needs the extra bench")

from typer.testing import CliRunner

from benchmarks.__main__ import app

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["README.md", "benchmarks/README.md"])
def test_every_command_of_the_documents_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"python -m benchmarks ([a-z][-a-z]*)", text))
    assert named
    runner = CliRunner()
    assert [name for name in sorted(named) if runner.invoke(app, [name, "--help"]).exit_code] == []


def test_every_folder_of_the_benchmarks_is_described() -> None:
    folders = {path.parent.name for path in (ROOT / "benchmarks").glob("*/__init__.py")}
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([a-z]+)\)", text)) == folders
