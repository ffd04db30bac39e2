"""python -m benchmarks: see --help."""

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from benchmarks import compare as comparing
from benchmarks import comparison_report, history, preparing, report
from benchmarks import listing as lists
from benchmarks.ceiling import CONCURRENCY, Plan, measure
from benchmarks.comparison import Compared
from benchmarks.fuzz import figures as fuzz_figures
from benchmarks.fuzz import fuzz
from benchmarks.keras_model import exported_model
from benchmarks.peers.catalogue import BY_NAME
from benchmarks.peers.install import environments, install
from benchmarks.soak import SoakPlan, soak
from benchmarks.soak import figures as soak_figures
from benchmarks.workloads import WORKLOADS
from server.engine.providers import usable_cores

TABLE_WIDTH, WIDE_TABLE_WIDTH = 110, 150
MINUTES = 40.0
RESULTS = Path("benchmarks/results")
BUNDLED = Path("server/bundled/demo/1/model.onnx")

app = typer.Typer(add_completion=False)


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Measures this server on this machine; without a command, beside everything else: see compare."""
    if context.invoked_subcommand is None:
        compare()


@app.command()
def compare(
    workloads: Annotated[str, typer.Option(help=f"Of {', '.join(WORKLOADS)}.")] = ",".join(WORKLOADS),
    peers: Annotated[str, typer.Option(help=f"Of {', '.join(BY_NAME)}.")] = ",".join(BY_NAME),
    clients: Annotated[str, typer.Option(help="In the closed loops.")] = "1,8,32,128",
    open_loop: Annotated[
        str, typer.Option(help="Arrivals at random, in % of each server's capacity; '': none.")
    ] = "50,80,95,120",
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[
        float, typer.Option(help="Of each measurement. 0: what --minutes leaves for it.", min=0)
    ] = 0.0,
    minutes: Annotated[float, typer.Option(help="For all, about.", min=0)] = MINUTES,
) -> None:
    """Compares the server with the ceilings and with each peer that is installed (peers-install).

    Options with several values take them with commas. Exits with 1 if an answer was wrong.
    """
    console = Console(width=max(Console().width, WIDE_TABLE_WIDTH))
    plan = comparing.Plan(
        workloads=_names(workloads, WORKLOADS),
        peers=_names(peers, BY_NAME),
        clients=tuple(int(number) for number in clients.split(",")),
        loads=tuple(float(percent) / 100 for percent in open_loop.split(",") if percent),
        rounds=rounds,
        seconds=seconds,
    )
    if not seconds:
        plan = plan.within(minutes)
    try:
        with console.status("") as status:
            compared = comparing.measure(plan, status.update)
    except RuntimeError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    for one in compared.values():
        for title, rows in comparison_report.tables(one):
            console.print(comparison_report.rich_table(title, rows))
            console.print(
                f"\n{comparison_report.markdown(rows)}\n", soft_wrap=True, markup=False, highlight=False
            )
    _remember(console, plan, compared)
    wrong = sum(one.wrong for one in compared.values())
    _end(console, [f"{wrong} wrong answers"] if wrong else [])


def _names(given: str, known: Mapping[str, object]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in given.split(","))
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are only {', '.join(known)}")
    return names


def _remember(console: Console, plan: comparing.Plan, compared: Mapping[str, Compared]) -> None:
    run = history.record(plan, compared)
    before = history.last(RESULTS, run)
    file = history.write(RESULTS, run)
    console.print(f"written to {file}", soft_wrap=True)
    if importlib.util.find_spec("matplotlib"):
        from benchmarks.plots import plot

        for name, one in compared.items():
            plot(one, file.with_name(f"{file.stem}-{name}.png"))
    if before is None:
        console.print("no earlier run of this plan on this machine")
        return
    changes = history.changes(before, run)
    console.print(f"{len(changes)} notable changes since {before['created']}", soft_wrap=True)
    for change in changes:
        console.print(str(change), style="red" if change.ratio < 1 else "green", soft_wrap=True, markup=False)


@app.command("peers-install")
def peers_install(
    names: Annotated[list[str] | None, typer.Argument(help="Which. [default: all]")] = None,
    python: Annotated[
        str, typer.Option(help="For tritonserver one with a shared libpython, such as Debian's own.")
    ] = sys.executable,
) -> None:
    """Makes a virtual environment for each peer, so that their pins meddle with nothing."""
    console = Console()
    problems = []
    for name in names or list(environments()):
        with console.status(f"installing {name}"):
            problem = install(name, python)
        console.print(f"{name}: {problem or 'installed'}", style="red" if problem else "", markup=False)
        problems += [name] if problem else []
    if problems:
        raise typer.Exit(1)


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
    from benchmarks import fitting
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
def listing(files: Annotated[int, typer.Option(min=1)] = 1_000_000) -> None:
    """Times what prepare does besides decoding, on a list of files that need not exist."""
    console = Console(width=max(Console().width, TABLE_WIDTH))
    with console.status("") as status:
        steps = lists.measure(files, status.update)
    console.print(lists.rich_table(files, steps))


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
