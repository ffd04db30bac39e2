"""All commands of `python -m benchmarks`."""

import signal
import sys

import typer

from benchmarks.abuse import commands as abuse
from benchmarks.ceiling import commands as ceiling
from benchmarks.compare import commands as compare
from benchmarks.decode import commands as decode
from benchmarks.engine import commands as engine
from benchmarks.training import commands as training

app = typer.Typer(add_completion=False)
for room in (compare, ceiling, engine, decode, training, abuse):
    app.add_typer(room.app)


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Measures this server on this machine; without a command, beside everything else: see compare."""
    # An end by signal would leave the servers behind, those of compare held.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if context.invoked_subcommand is None:
        compare.compare()
