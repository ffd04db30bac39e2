"""Runs of prepare, and what they wrote."""

import csv
from pathlib import Path

from rich.console import Console

from training.prepare.run import prepare
from training.prepare.settings import PrepareSettings
from training.prepare.summary import Summary

SILENT = Console(quiet=True)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def lists(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.csv")}


def rejected(folder: Path) -> list[tuple[str, str]]:
    """Names and codes, sorted."""
    with (folder / "rejected.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return sorted((Path(row["path"]).name, row["reason"].partition(":")[0]) for row in rows)


def run(source: Path, output: Path, workers: int = 2, **settings: object) -> Summary:
    wanted = {"inputs": (source,), "output": output, "workers": workers, **settings}
    return prepare(PrepareSettings(**wanted), SILENT)
