"""Writes the tables of settings and profiles into the README: python -m server.reference README.md."""

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from server.settings import PROFILES, Settings

BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """A Markdown table: flag, default, meaning."""
    rows = ["| flag | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = (field.description or "") + _choices(field.annotation)
        rows.append(f"| `{_flag(name)}` | {_default(field.default)} | {meaning} |")
    return "\n".join(rows)


def profiles() -> str:
    """A Markdown table: profile, what it changes."""
    rows = ["| profile | changes |", "|---|---|"]
    for name, values in PROFILES.items():
        changes = (f"`{setting} = {_value(value)}`" for setting, value in values.items())
        rows.append(f"| `{name}` | {', '.join(changes) or 'nothing'} |")
    return "\n".join(rows)


def inserted(text: str) -> str:
    """The text with the tables between its two marks brought up to date."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n\n{profiles()}\n{END}{after}"


def _default(value: Any) -> str:
    if value is None or value == ():
        return ""
    return f"`{_value(value)}`"


def _flag(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _choices(annotation: Any) -> str:
    if get_origin(annotation) is not Literal:
        return ""
    return " One of " + ", ".join(f"`{choice}`" for choice in get_args(annotation)) + "."


if __name__ == "__main__":
    readme = Path(sys.argv[1])
    readme.write_text(inserted(readme.read_text(encoding="utf-8")), encoding="utf-8")
