"""The commands that try to break the server."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.abuse import fuzz as fuzzing
from benchmarks.abuse import soak as soaking
from benchmarks.abuse import soaked
from benchmarks.abuse.soak_plan import SoakPlan
from benchmarks.options import MODEL_FILE
from benchmarks.report import console
from server.engine.repository import BUNDLED

_DEMO = BUNDLED / "demo/1/model.onnx"

app = typer.Typer()


@app.command()
def soak(
    minutes: Annotated[float, typer.Option(min=0.05)] = 10.0,
    load: Annotated[
        float, typer.Option(help="Multiple of the capacity; 0: only --clients in a closed loop.", min=0)
    ] = 2.0,
    clients: Annotated[int, typer.Option(min=1)] = 32,
    deadline: Annotated[float, typer.Option(help="Seconds, of each request.", min=0.1)] = 10.0,
    model: Annotated[Path, MODEL_FILE] = _DEMO,
) -> None:
    """Loads a server for a long time, with broken files, callers that give up or die, and a new model.

    Exits with 1 if an answer was wrong, lost or late, or memory grew.
    """
    screen = console.wide()
    plan = SoakPlan(model.resolve(), 60 * minutes, clients, load, deadline)
    with console.measuring(screen) as report:
        found = soaking.soak(plan, report)
    screen.print(soaked.table(found))
    console.end(screen, found.problems)


@app.command()
def fuzz(
    files: Annotated[int, typer.Option(min=1)] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same files.")] = 0,
) -> None:
    """Sends mutated files of every format to a server.

    Exits with 1 if one was answered with anything but a verdict or the right kind of error, the
    server answers differently afterwards, or memory grew.
    """
    screen = console.wide()
    with console.measuring(screen) as report:
        fuzzed = fuzzing.fuzz(files, seed, report)
    screen.print(fuzzing.table(fuzzed))
    for file in fuzzed.remarkable:
        screen.print(file, style="yellow", markup=False)
    console.end(screen, fuzzed.problems)
