"""What all commands show alike."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from benchmarks.report.results import RESULTS, write
from benchmarks.report.tables import Table
from benchmarks.report.turns import Report
from server.errors import DetectorError

_WIDTH = 110


def wide(width: int = _WIDTH) -> Console:
    """A console that does not wrap tables, however narrow the terminal."""
    return Console(width=max(Console().width, width))


@contextmanager
def measuring(console: Console, first: str = "") -> Iterator[Report]:
    """Shows what is being measured.

    What cannot be measured ends the command with its message and status 1: a RuntimeError, or an error of
    the server's code, such as a model that cannot be loaded.
    """
    try:
        with console.status(first) as status:
            yield status.update
    except (RuntimeError, DetectorError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error


def show(console: Console, table: Table) -> None:
    """The table, and again to be copied into a README."""
    console.print(table)
    text = f"\n{table.title}\n\n{table.markdown()}\n"
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def keep(console: Console, command: str, run: Mapping[str, Any]) -> Path:
    """Writes the run into a new file, and says which."""
    file = write(RESULTS, command, run)
    console.print(f"written to {file}", soft_wrap=True)
    return file


def end(console: Console, problems: Sequence[str]) -> None:
    """With status 1 if there are any."""
    for problem in problems:
        console.print(problem, style="red", soft_wrap=True, markup=False)
    if problems:
        raise typer.Exit(1)
