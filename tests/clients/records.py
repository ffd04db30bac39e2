"""Reading files of predictions back, as their users do."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet


def records(path: Path) -> list[dict[str, Any]]:
    """Every record of a .csv, whose values are all text, a .jsonl or a .parquet."""
    if path.suffix == ".parquet":
        return list(pyarrow.parquet.read_table(path).to_pylist())
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, file))


def paths(path: Path) -> list[str]:
    """Of the records, in their order."""
    return [record["path"] for record in records(path)]


def by_name(path: Path) -> dict[str, dict[str, Any]]:
    """The records by the names of their files."""
    return {Path(record["path"]).name: record for record in records(path)}
