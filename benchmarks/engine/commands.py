"""The commands that measure the graph and the engine without a load on a whole server."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from benchmarks.engine import graph, in_process
from benchmarks.engine import startup as starts
from benchmarks.material.keras_model import exported_model, raw_graph

TABLE_WIDTH = 110
Backbone = Literal["tiny", "efficientnetb0", "resnet50v2"]

app = typer.Typer()


@app.command()
def startup(
    model: Annotated[Path | None, typer.Option(help="An exported <name>/<version>/model.onnx.")] = None,
    backbone: Annotated[Backbone, typer.Option(help="Without --model: export this.")] = "efficientnetb0",
    size: Annotated[int, typer.Option(help="Without --model: pixels of a side.", min=32)] = 256,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Times the start of the server until it is ready, with and without its cache of graphs."""
    console = _console()
    path = model or exported_model(backbone, size)
    try:
        with console.status("") as status:
            seconds = starts.measure(path, rounds, status.update)
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    console.print(starts.rich_table(seconds))


@app.command("graph")
def graph_command(
    backbone: Annotated[Backbone, typer.Option()] = "efficientnetb0",
    size: Annotated[int, typer.Option(help="Pixels of a side.", min=32)] = 256,
    rounds: Annotated[int, typer.Option(min=1)] = 60,
) -> None:
    """Compares the exported graph with the raw tf2onnx conversion of the same weights.

    Exits with 1 if they answer differently.
    """
    console = _console()
    try:
        with console.status("exporting the models (only the first time)"):
            raw, model = raw_graph(backbone, size), exported_model(backbone, size)
        compared = graph.compare(raw, model, rounds)
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    console.print(graph.rich_table(compared))


@app.command()
def engine(
    model: Annotated[
        list[Path] | None, typer.Option(help="An exported model.onnx, or one of its precisions; repeatable.")
    ] = None,
    backbone: Annotated[Backbone, typer.Option(help="Without --model: export this.")] = "efficientnetb0",
    size: Annotated[int, typer.Option(help="Without --model: pixels of a side.", min=32)] = 256,
    provider: Annotated[
        Literal["auto", "cuda", "coreml", "cpu"], typer.Option(help="Of the engine and of the bare session.")
    ] = "auto",
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of each measurement.", min=0.2)] = 3.0,
) -> None:
    """Compares the engine, in this process, with bare ONNX Runtime sessions of several layouts.

    Exits with 1 if an answer was wrong.
    """
    console = _console()
    wrong = 0
    for path in model or [exported_model(backbone, size)]:
        with console.status("") as status:
            measured = in_process.measure(path, provider, rounds, seconds, status.update)
        console.print(in_process.rich_table(measured))
        wrong += measured.wrong
    if wrong:
        console.print(f"wrong answers {wrong}", style="red")
        raise typer.Exit(1)


@app.command("mel")
def mel_command(rounds: Annotated[int, typer.Option(min=1)] = 200) -> None:
    """Times the mel spectrogram that the exporter puts into the graph, and compares it with librosa."""
    from training.quiet import start_tensorflow

    start_tensorflow()
    # Here, because it takes seconds that the other commands need not wait.
    from benchmarks.engine import mel

    _console().print(mel.rich_table(mel.compare(rounds)))


def _console() -> Console:
    return Console(width=max(Console().width, TABLE_WIDTH))
