"""python -m benchmarks: see --help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from benchmarks.abuse.fuzz import figures as fuzz_figures
from benchmarks.abuse.fuzz import fuzz
from benchmarks.abuse.soak import SoakPlan, soak
from benchmarks.abuse.soak import figures as soak_figures
from benchmarks.ceiling import tables as report
from benchmarks.ceiling.measure import CONCURRENCY, Plan, measure
from benchmarks.compare import commands as compare_commands
from benchmarks.engine import commands as engine_commands
from benchmarks.engine import precisions as in_precisions
from benchmarks.material.keras_model import exported_model
from benchmarks.training import listing as lists
from benchmarks.training import preparing
from server.engine.providers import usable_cores

TABLE_WIDTH = 110
RESULTS = Path("benchmarks/results")
BUNDLED = Path("server/bundled/demo/1/model.onnx")


class Encoding(StrEnum):
    """What `decode` decodes."""

    jpeg = "jpeg"
    png = "png"
    webp = "webp"
    video = "video"


app = typer.Typer(add_completion=False)
app.add_typer(engine_commands.app)
app.add_typer(compare_commands.app)


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Measures this server on this machine; without a command, beside everything else: see compare."""
    if context.invoked_subcommand is None:
        compare_commands.compare()


@app.command()
def ceiling(
    model: Annotated[Path | None, typer.Option(help="An exported <name>/<version>/model.onnx.")] = None,
    backbone: Annotated[
        Literal["tiny", "efficientnetb0", "resnet50v2"], typer.Option(help="Without --model: export this.")
    ] = "efficientnetb0",
    size: Annotated[int, typer.Option(help="Without --model: pixels of a side.", min=32)] = 256,
    concurrency: Annotated[
        list[int] | None, typer.Option(help="Clients; repeatable. [default: 1 8 32]")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of each measurement.", min=0.5)] = 8.0,
) -> None:
    """Compares the server with a bare ONNX Runtime session on the same rows, and measures the decoders.

    Exits with 1 if a request failed or was answered wrongly.
    """
    console = Console()
    if console.width < TABLE_WIDTH:
        console = Console(width=TABLE_WIDTH)
    try:
        with console.status("exporting the model (only the first time)"):
            path = model or exported_model(backbone, size)
        plan = Plan(path.resolve(), tuple(concurrency or CONCURRENCY), rounds, seconds)
        with console.status("") as status:
            measured = measure(plan, status.update)
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    rows = report.lines(measured)
    heading = report.title(plan, measured)
    console.print(report.rich_table(heading, rows))
    console.print(f"\n{heading}\n\n{report.markdown(rows)}\n", soft_wrap=True, markup=False, highlight=False)
    console.print(f"written to {report.write_json(RESULTS, plan, measured, rows)}", soft_wrap=True)
    if measured.failures or measured.wrong:
        console.print(f"failures {measured.failures}, wrong answers {measured.wrong}", style="red")
        raise typer.Exit(1)


@app.command("soak")
def soak_command(
    minutes: Annotated[float, typer.Option(min=0.05)] = 10.0,
    load: Annotated[
        float, typer.Option(help="Multiple of the capacity; 0: only --clients in a closed loop.", min=0)
    ] = 2.0,
    clients: Annotated[int, typer.Option(min=1)] = 32,
    deadline: Annotated[float, typer.Option(help="Seconds, of each request.", min=0.1)] = 10.0,
    model: Annotated[Path, typer.Option(help="An exported <name>/<version>/model.onnx.")] = BUNDLED,
) -> None:
    """Loads a server for a long time, with broken files, callers that give up or die, and a new model.

    Exits with 1 if an answer was wrong, lost or late, or memory grew.
    """
    console = Console()
    plan = SoakPlan(model.resolve(), 60 * minutes, clients, load, deadline)
    try:
        with console.status("") as status:
            soaked = soak(plan, status.update)
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    _print(console, soak_figures(soaked))
    _end(console, soaked.problems(plan))


@app.command("fuzz")
def fuzz_command(
    files: Annotated[int, typer.Option(min=1)] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed makes the same files.")] = 0,
) -> None:
    """Sends mutated files of every format to a server.

    Exits with 1 if one was answered with anything but a verdict or the right kind of error, the
    server answers differently afterwards, or memory grew.
    """
    console = Console()
    try:
        with console.status("") as status:
            fuzzed = fuzz(files, seed, status.update)
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    _print(console, fuzz_figures(fuzzed))
    for file in fuzzed.remarkable:
        console.print(file, style="yellow", markup=False)
    _end(console, fuzzed.problems)


def _print(console: Console, lines: list[tuple[str, str]]) -> None:
    for name, value in lines:
        console.print(f"{name:28}{value}", soft_wrap=True, markup=False, highlight=False)


def _end(console: Console, problems: list[str]) -> None:
    for problem in problems:
        console.print(problem, style="red", soft_wrap=True, markup=False)
    if problems:
        raise typer.Exit(1)


@app.command()
def prepare(
    files: Annotated[int, typer.Option(help="Half photos, the rest clips and sounds.", min=8)] = 1000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    workers: Annotated[int | None, typer.Option(help="Decoders. [default: the cores]", min=1)] = None,
) -> None:
    """Compares `python -m training prepare` with the decoders alone, on the same generated files.

    Exits with 1 if a file was left out.
    """
    console = Console(width=max(Console().width, TABLE_WIDTH))
    plan = preparing.Plan(files, rounds, workers or usable_cores())
    with console.status("") as status:
        measured = preparing.measure(plan, status.update)
    console.print(preparing.rich_table(plan, measured))
    console.print(f"written to {preparing.write_json(RESULTS, plan, measured)}", soft_wrap=True)
    if measured.left_out:
        console.print(f"{measured.left_out} files were left out", style="red")
        raise typer.Exit(1)


@app.command()
def fit(
    backbone: Annotated[Literal["tiny", "efficientnetb0", "resnet50v2"], typer.Option()] = "tiny",
    size: Annotated[int, typer.Option(help="Pixels of a side.", min=32)] = 160,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    steps: Annotated[int, typer.Option(help="Of each measurement.", min=1)] = 20,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    augment_share: Annotated[float, typer.Option(help="As of fit.", min=0, max=1)] = 0.5,
    mixed_precision: Annotated[bool, typer.Option(help="As of fit.")] = False,
) -> None:
    """Compares `python -m training fit` with its training step alone, on an image model."""
    from training.quiet import start_tensorflow

    start_tensorflow()
    # Here, because it takes seconds that the other commands need not wait.
    from benchmarks.training import fitting
    from training.settings import FitSettings

    settings = FitSettings(
        backbone=backbone,
        weights="none",
        image_size=size,
        batch_size=batch_size,
        augment_share=augment_share,
        mixed_precision=mixed_precision,
    ).resolved("image")
    console = Console(width=max(Console().width, TABLE_WIDTH))
    plan = fitting.Plan(settings, steps, rounds)
    with console.status("") as status:
        measured = fitting.measure(plan, status.update)
    console.print(fitting.rich_table(plan, measured))
    console.print(f"written to {fitting.write_json(RESULTS, plan, measured)}", soft_wrap=True)


@app.command()
def precisions(
    model: Annotated[
        Path | None, typer.Option(help="An exported <name>/<version>/model.onnx with others beside it.")
    ] = None,
    backbone: Annotated[
        Literal["tiny", "efficientnetb0", "resnet50v2"], typer.Option(help="Without --model: export this.")
    ] = "efficientnetb0",
    size: Annotated[int, typer.Option(help="Without --model: pixels of a side.", min=32)] = 256,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    seconds: Annotated[float, typer.Option(help="Of each measurement.", min=0.5)] = 2.0,
) -> None:
    """Compares fp32, fp16 and int8 of one detector: speed, and what the exporter found that they cost."""
    console = Console(width=max(Console().width, TABLE_WIDTH))
    try:
        with console.status("exporting the model (only the first time)"):
            path = model or exported_model(backbone, size, precisions="fp32,fp16,int8")
        plan = in_precisions.Plan(path, rounds, seconds)
        with console.status("") as status:
            measured = in_precisions.measure(plan, status.update)
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    console.print(in_precisions.rich_table(plan, measured))
    console.print(f"written to {in_precisions.write_json(RESULTS, plan, measured)}", soft_wrap=True)


@app.command()
def listing(files: Annotated[int, typer.Option(min=1)] = 1_000_000) -> None:
    """Times what prepare does besides decoding, on a list of files that need not exist."""
    console = Console(width=max(Console().width, TABLE_WIDTH))
    with console.status("") as status:
        steps = lists.measure(files, status.update)
    console.print(lists.rich_table(files, steps))


@app.command("decode")
def decode_command(
    media: Annotated[list[Encoding] | None, typer.Option(help="Repeatable. [default: all]")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    photos: Annotated[int, typer.Option(help="Of each encoding.", min=1)] = 8,
    workers: Annotated[int | None, typer.Option(help="Media at once. [default: the cores]", min=1)] = None,
) -> None:
    """Compares our decoders with other libraries, on generated photos and videos.

    Exits with 1 if a picture is not the one that was asked for.
    """
    # Here, because the other commands do without Pillow.
    from benchmarks.decode import measure as decoding

    console = Console(width=max(Console().width, TABLE_WIDTH))
    plan = decoding.Plan(rounds, workers or usable_cores(), photos)
    chosen = media or list(Encoding)
    comparisons = []
    with console.status("") as status:
        for comparison in decoding.comparisons(list(chosen), RESULTS / "media", plan, status.update):
            comparisons.append(comparison)
            console.print(decoding.rich_table(comparison, plan))
            text = f"\n{comparison.title}\n\n{decoding.markdown(comparison)}\n"
            console.print(text, soft_wrap=True, markup=False, highlight=False)
    console.print(f"written to {decoding.write_json(RESULTS, plan, comparisons)}", soft_wrap=True)
    _end(console, [problem for comparison in comparisons for problem in comparison.problems])


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
