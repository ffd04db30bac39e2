"""The command that holds the server against its ceiling."""

from typing import Annotated

import typer

from benchmarks.ceiling import tables
from benchmarks.ceiling.measure import CONCURRENCY, Plan, measure
from benchmarks.material.keras_model import EXPORTING, exported_model
from benchmarks.options import ExportedBackbone, ExportedSize, ModelFile, Rounds, Seconds
from benchmarks.report import console, results
from server.engine.precision import PrecisionWish
from server.engine.providers import Wish

app = typer.Typer()


@app.command()
def ceiling(
    model: ModelFile = None,
    backbone: ExportedBackbone = "efficientnetb0",
    size: ExportedSize = 256,
    concurrency: Annotated[
        list[int] | None, typer.Option(help="Clients; repeatable. [default: 1 8 32]")
    ] = None,
    rounds: Rounds = 3,
    seconds: Seconds = 8.0,
    provider: Annotated[Wish, typer.Option(help="Of the server and of the bare session.")] = "auto",
    precision: Annotated[PrecisionWish, typer.Option(help="Of both.")] = "auto",
    processes: Annotated[int, typer.Option(help="Of the server.", min=1)] = 1,
) -> None:
    """Compares the server with a bare ONNX Runtime session on the same rows, and with the decoders alone.

    Exits with 1 if a request failed or was answered wrongly.
    """
    screen = console.wide()
    with console.measuring(screen, EXPORTING) as report:
        path = model or exported_model(backbone, size)
        plan = Plan(
            path.resolve(),
            tuple(concurrency or CONCURRENCY),
            rounds,
            seconds,
            provider=provider,
            precision=precision,
            processes=processes,
        )
        measured = measure(plan, report)
    console.show(screen, tables.table(plan, measured))
    run = results.record(
        plan,
        provider=measured.provider,
        lines=tables.lines(measured),
        wrong_answers=measured.wrong,
        failures=measured.failures,
    )
    console.keep(screen, "ceiling", run)
    console.end(screen, measured.problems)
