"""The command that sets our decoders beside others."""

from enum import StrEnum
from typing import Annotated

import typer

from benchmarks.options import Rounds
from benchmarks.report import console, results
from server.engine.cores import usable_cores

app = typer.Typer()


class Encoding(StrEnum):
    """What is decoded."""

    jpeg = "jpeg"
    png = "png"
    webp = "webp"
    video = "video"


@app.command()
def decode(
    media: Annotated[list[Encoding] | None, typer.Option(help="Repeatable. [default: all]")] = None,
    rounds: Rounds = 5,
    photos: Annotated[int, typer.Option(help="Of each encoding.", min=1)] = 8,
    workers: Annotated[int | None, typer.Option(help="Media at once. [default: the cores]", min=1)] = None,
) -> None:
    """Compares our decoders with other libraries, on generated photos and videos.

    Exits with 1 if a picture is not the one that was asked for.
    """
    # Here, because the other commands do without Pillow.
    from benchmarks.decode import measure, tables

    screen = console.wide()
    plan = measure.Plan(rounds, workers or usable_cores(), photos)
    folder = results.RESULTS / "media"
    found = []
    with console.measuring(screen) as report:
        for comparison in measure.comparisons(list(media or Encoding), folder, plan, report):
            found.append(comparison)
            console.show(screen, tables.table(comparison, plan))
    console.keep(screen, "decode", results.record(plan, comparisons=found))
    console.end(screen, [problem for comparison in found for problem in comparison.problems])
