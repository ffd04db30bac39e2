"""The commands that set this server beside others."""

import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from benchmarks.compare import history
from benchmarks.compare.compared import Compared
from benchmarks.compare.measure import measure
from benchmarks.compare.plan import Plan
from benchmarks.compare.tables import tables
from benchmarks.compare.workloads import WORKLOADS
from benchmarks.options import ModelFile, Rounds
from benchmarks.peers.catalogue import BY_NAME
from benchmarks.peers.install import environments, install
from benchmarks.report import console
from benchmarks.report.results import RESULTS
from server.engine.manifest import Precision

_WIDTH = 150
_MINUTES = 40.0

Number = TypeVar("Number", int, float)

app = typer.Typer()


@app.command()
def compare(
    workloads: Annotated[str, typer.Option(help=f"Of {', '.join(WORKLOADS)}.")] = ",".join(WORKLOADS),
    peers: Annotated[str, typer.Option(help=f"Of {', '.join(BY_NAME)}.")] = ",".join(BY_NAME),
    clients: Annotated[str, typer.Option(help="In the closed loops.")] = "1,8,32,128",
    open_loop: Annotated[
        str, typer.Option(help="Arrivals at random, in % of each server's capacity; '': none.")
    ] = "50,80,95,120",
    rounds: Rounds = 3,
    seconds: Annotated[
        float, typer.Option(help="Of each measurement. 0: what --minutes leaves for it.", min=0)
    ] = 0.0,
    minutes: Annotated[float, typer.Option(help="For all, about.", min=0)] = _MINUTES,
    model: ModelFile = None,
    precision: Annotated[Precision, typer.Option(help="Of --model.")] = "fp32",
) -> None:
    """Compares the server with the ceilings and with each peer that is installed (peers-install).

    Options with several values take them with commas. Exits with 1 if an answer was wrong.
    """
    if model is None and precision != "fp32":
        raise typer.BadParameter("--precision is of --model, which is missing")
    plan = Plan(
        workloads=_names(workloads, WORKLOADS),
        peers=_names(peers, BY_NAME),
        clients=_numbers(clients, int),
        loads=tuple(percent / 100 for percent in _numbers(open_loop, float)) if open_loop else (),
        rounds=rounds,
        seconds=seconds,
        model=model,
        precision=precision,
    )
    if not seconds:
        plan = plan.within(minutes)
    screen = console.wide(_WIDTH)
    with console.measuring(screen) as report:
        compared = measure(plan, report)
    for one in compared.values():
        for table in tables(one):
            console.show(screen, table)
    _remember(screen, plan, compared)
    wrong = sum(one.wrong for one in compared.values())
    console.end(screen, [f"{wrong} wrong answers"] if wrong else [])


def _names(given: str, known: Mapping[str, object]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in given.split(","))
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are only {', '.join(known)}")
    return names


def _numbers(given: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    try:
        numbers = tuple(kind(part) for part in given.split(",") if part)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise typer.BadParameter(f"{given}: only finite numbers above 0")
    return numbers


def _remember(screen: Console, plan: Plan, compared: Mapping[str, Compared]) -> None:
    run = history.record(plan, compared)
    before = history.last(RESULTS, run)
    file = console.keep(screen, history.COMMAND, run)
    if importlib.util.find_spec("matplotlib"):
        from benchmarks.compare.plots import plot

        for name, one in compared.items():
            plot(one, file.with_name(f"{file.stem}-{name}.png"))
    if before is None:
        screen.print("no earlier run of this plan on this machine")
        return
    changes = history.changes(before, run)
    screen.print(f"{len(changes)} notable changes since {before['created']}", soft_wrap=True)
    for change in changes:
        screen.print(str(change), style="red" if change.ratio < 1 else "green", soft_wrap=True, markup=False)


@app.command("peers-install")
def peers_install(
    names: Annotated[list[str] | None, typer.Argument(help="Which. [default: all]")] = None,
    python: Annotated[
        str, typer.Option(help="For tritonserver one with a shared libpython, such as Debian's own.")
    ] = sys.executable,
) -> None:
    """Makes a virtual environment for each peer, so that their pins meddle with nothing."""
    screen = Console()
    problems = []
    for name in names or list(environments()):
        with screen.status(f"installing {name}"):
            problem = install(name, python)
        screen.print(f"{name}: {problem or 'installed'}", style="red" if problem else "", markup=False)
        problems += [name] if problem else []
    if problems:
        raise typer.Exit(1)
