"""Writes the tables of settings and profiles into the README: python -m server.reference README.md."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from server.configuration import PROFILES
from server.jobs.settings import JobSettings
from server.settings import Settings


def table(fields: Mapping[str, FieldInfo]) -> str:
    """A Markdown table: flag, default, meaning."""
    rows = ["| flag | default | meaning |", "|---|---|---|"]
    for name, field in fields.items():
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
    """The text with the tables between their marks brought up to date."""
    all_fields = JobSettings.model_fields
    of_jobs = {name: field for name, field in all_fields.items() if name not in Settings.model_fields}
    text = _between("settings", f"{table(Settings.model_fields)}\n\n{profiles()}", text)
    return _between("job settings", table(of_jobs), text)


def _between(mark: str, content: str, text: str) -> str:
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{content}\n{end}{after}"


def _default(value: Any) -> str:
    if value in (None, (), PydanticUndefined):
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
