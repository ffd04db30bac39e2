"""The commands that measure training: preparing files, fitting, and many files."""

from typing import Annotated

import typer

from benchmarks.options import Rounds, Size
from benchmarks.report import console, results
from benchmarks.training import listing as lists
from benchmarks.training import preparing
from server.engine.cores import usable_cores
from training.settings import Backbone, FitSettings

app = typer.Typer()


@app.command()
def prepare(
    files: Annotated[int, typer.Option(help="Half photos, the rest clips and sounds.", min=8)] = 1000,
    rounds: Rounds = 3,
    workers: Annotated[int | None, typer.Option(help="Decoders. [default: the cores]", min=1)] = None,
) -> None:
    """Compares `python -m training prepare` with the decoders alone, on the same generated files.

    Exits with 1 if a file was left out.
    """
    screen = console.wide()
    plan = preparing.Plan(files, rounds, workers or usable_cores())
    with console.measuring(screen) as report:
        measured = preparing.measure(plan, report)
    screen.print(preparing.table(plan, measured))
    console.keep(screen, "prepare", results.record(plan, files_per_second=measured))
    console.end(screen, [f"{measured.left_out} files were left out"] if measured.left_out else [])


@app.command()
def fit(
    backbone: Backbone = "tiny",
    size: Size = 160,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    steps: Annotated[int, typer.Option(help="Of each measurement.", min=1)] = 20,
    rounds: Rounds = 3,
    augment_share: Annotated[float, typer.Option(help="As of fit.", min=0, max=1)] = 0.5,
    mixed_precision: Annotated[bool, typer.Option(help="As of fit.")] = False,
) -> None:
    """Compares `python -m training fit` with its training step alone, on an image model."""
    from training.quiet import start_tensorflow

    start_tensorflow()
    # Here, because it takes seconds that the other commands need not wait.
    from benchmarks.training import fitting

    settings = FitSettings(
        backbone=backbone,
        weights="none",
        image_size=size,
        batch_size=batch_size,
        augment_share=augment_share,
        mixed_precision=mixed_precision,
    ).resolved("image")
    screen = console.wide()
    plan = fitting.Plan(settings, steps, rounds)
    with console.measuring(screen) as report:
        measured = fitting.measure(plan, report)
    screen.print(fitting.table(plan, measured))
    run = results.record(plan, devices=fitting.devices(), rows_per_second=measured)
    console.keep(screen, "fit", run)


@app.command()
def listing(files: Annotated[int, typer.Option(min=1)] = 1_000_000) -> None:
    """Times what prepare does besides decoding, on a list of files that need not exist."""
    screen = console.wide()
    with console.measuring(screen) as report:
        steps = lists.measure(files, report)
    screen.print(lists.table(files, steps))
