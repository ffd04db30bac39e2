"""The commands that measure the graph and the engine without a load on a whole server."""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.engine import graph as graphs
from benchmarks.engine import in_process
from benchmarks.engine import precisions as in_precisions
from benchmarks.engine import startup as starts
from benchmarks.material.keras_model import EXPORTING, exported_model, raw_graph
from benchmarks.options import ExportedBackbone, ExportedSize, ModelFile, Rounds, Seconds, Size
from benchmarks.report import console, results
from server.engine.processor import features
from server.engine.providers import Wish
from training.settings import Backbone

app = typer.Typer()


@app.command()
def startup(
    model: ModelFile = None,
    backbone: ExportedBackbone = "efficientnetb0",
    size: ExportedSize = 256,
    rounds: Rounds = 5,
) -> None:
    """Times the start of the server until it is ready, with and without its cache of graphs."""
    screen = console.wide()
    with console.measuring(screen, EXPORTING) as report:
        seconds = starts.measure(model or exported_model(backbone, size), rounds, report)
    screen.print(starts.table(seconds))


@app.command()
def graph(
    backbone: Backbone = "efficientnetb0",
    size: Size = 256,
    rounds: Rounds = 60,
) -> None:
    """Compares the exported graph with the raw tf2onnx conversion of the same weights.

    Exits with 1 if they answer differently.
    """
    screen = console.wide()
    with console.measuring(screen, EXPORTING) as report:
        model = exported_model(backbone, size)
        raw = raw_graph(model)
        report("by turns")
        compared = graphs.compare(raw, model, rounds)
    screen.print(graphs.table(compared))


@app.command()
def engine(
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="An exported model.onnx, or one of its precisions; repeatable.", exists=True, dir_okay=False
        ),
    ] = None,
    backbone: ExportedBackbone = "efficientnetb0",
    size: ExportedSize = 256,
    provider: Annotated[Wish, typer.Option(help="Of the engine and of the bare session.")] = "auto",
    rounds: Rounds = 3,
    seconds: Annotated[float, typer.Option(help="Of each measurement.", min=0.2)] = 3.0,
) -> None:
    """Compares the engine, in this process, with bare ONNX Runtime sessions of several layouts.

    Exits with 1 if an answer was wrong.
    """
    screen = console.wide()
    wrong = 0
    with console.measuring(screen, EXPORTING) as report:
        for path in model or [exported_model(backbone, size)]:
            measured = in_process.measure(path, provider, rounds, seconds, report)
            screen.print(in_process.table(measured))
            wrong += measured.wrong
    console.end(screen, [f"wrong answers {wrong}"] if wrong else [])


@app.command()
def precisions(
    model: ModelFile = None,
    backbone: ExportedBackbone = "efficientnetb0",
    size: ExportedSize = 256,
    rounds: Rounds = 7,
    seconds: Seconds = 2.0,
) -> None:
    """Compares fp32, fp16 and int8 of one detector: speed, and what the exporter found that they cost.

    Those besides fp32 lie beside the model.onnx.
    """
    screen = console.wide()
    with console.measuring(screen, EXPORTING) as report:
        path = model or exported_model(backbone, size, precisions="fp32,fp16,int8")
        plan = in_precisions.Plan(path, rounds, seconds)
        measured = in_precisions.measure(plan, report)
    screen.print(in_precisions.table(plan, measured))
    console.keep(screen, "precisions", results.record(plan, processor=features(), precisions=measured))


@app.command()
def mel(rounds: Rounds = 200) -> None:
    """Times the mel spectrogram that the exporter puts into the graph, and compares it with librosa."""
    from training.quiet import start_tensorflow

    start_tensorflow()
    # Here, because it takes seconds that the other commands need not wait.
    from benchmarks.engine import mel as front_end

    console.wide().print(front_end.table(front_end.compare(rounds)))
