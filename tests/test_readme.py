"""The README tells the truth about what can be checked by a machine."""

import re
from pathlib import Path

from server.reference import inserted

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_fresh() -> None:
    assert inserted(README) == README, "run: make docs"


def test_every_file_it_names_exists() -> None:
    linked = re.findall(r"\]\(([^)#:]+)\)", README)
    assert linked
    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_ci_finds_the_test_command() -> None:
    command = README.split("<!-- test -->")[1].split("<!-- /test -->")[0]
    assert "pip install" in command
    assert "&& pytest" in command
