"""The README tells the truth about what can be checked by a machine."""

import re
from pathlib import Path

import pytest

from server.reference import inserted

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_fresh() -> None:
    assert inserted(README) == README, "run: make docs"


@pytest.mark.parametrize("document", ["README.md", "benchmarks/README.md"])
def test_every_link_leads_to_a_file_and_a_heading_that_exist(document: str) -> None:
    page = ROOT / document
    linked = re.findall(r"\]\(([^):#]*)#?([^):]*)\)", page.read_text(encoding="utf-8"))
    assert linked
    targets = [(page.parent / name if name else page, anchor) for name, anchor in linked]
    assert [target for target in targets if not leads_somewhere(*target)] == []


def leads_somewhere(target: Path, anchor: str) -> bool:
    if not anchor:
        return target.exists()
    headings = re.findall(r"^##+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_ci_finds_the_test_command() -> None:
    command = README.split("<!-- test -->")[1].split("<!-- /test -->")[0]
    assert "pip install" in command
    assert "&& pytest" in command
