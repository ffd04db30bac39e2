"""Batch scoring on the machines of a Ray cluster: python -m clients.cluster.

Ray Data hands the media out in small tasks to actors with an engine each. When an actor or its machine
dies, Ray starts another and gives it the tasks that were not finished; their media are judged again, and
each has one record in the end.
"""

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from clients import show
from clients.aio import AsyncDetector
from clients.batch import detect_each, find_media
from clients.embedded import embedded_server
from clients.errors import DetectionError, missing_package
from clients.output import SUFFIXES, opened
from clients.predictions import Prediction, prediction
from clients.requests import Answer, is_uri
from clients.s3 import S3
from clients.s3_flags import S3AccessKey, S3Endpoint, S3Profile, S3SecretKey, s3_of

MEDIA_PER_TASK = 64
MOST_TASKS = 2000
IN_FLIGHT = 16
"""Media that an actor has in its engine at once."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Who does the work.

    Attributes:
        actors: engines on the whole cluster.
        cpus, gpus: that Ray reserves for each.
        models: as the server's --models; the folder must be there on every machine.
    """

    actors: int
    cpus: int = 1
    gpus: float = 0
    models: Path | None = None


def score(names: list[str], pool: Pool, s3: S3) -> Iterator[Prediction]:
    """Judges files and URIs on the cluster that Ray is connected to; first ready first.

    Args:
        names: of files that every machine can read, and s3:// URIs.
    """
    import ray.data

    tasks = min(MOST_TASKS, -(-len(names) // MEDIA_PER_TASK))
    items = [{"path": name, "place": _place(name)} for name in names]
    judged = ray.data.from_items(items, override_num_blocks=tasks).map_batches(
        Scorer,
        batch_size=None,
        fn_constructor_args=(pool, s3),
        compute=ray.data.ActorPoolStrategy(size=pool.actors),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )
    for row in judged.iter_rows():
        yield Prediction(**json.loads(row["prediction"]))


class Scorer:
    """What runs in an actor: an engine, and a client that keeps it busy."""

    def __init__(self, pool: Pool, s3: S3) -> None:
        self._s3 = s3
        self._runner = asyncio.Runner()
        # Never closed: Ray ends actors by ending their process.
        self._open = AsyncExitStack()
        self._runner.run(self._start(pool))

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Turns the columns "path" and "place" into "prediction", of one JSON object each."""
        answers = self._runner.run(self._judge({str(place) for place in batch["place"]}))
        predictions = [
            prediction(str(path), answers[str(place)])
            for path, place in zip(batch["path"], batch["place"], strict=True)
        ]
        # As text, because a column that is empty in one task and not in another has two types.
        return {"prediction": [json.dumps(asdict(one)) for one in predictions]}

    async def _start(self, pool: Pool) -> None:
        workers = 0 if pool.gpus else pool.cpus
        server = embedded_server(pool.models, engine_workers=workers, decode_workers=pool.cpus)
        address = await self._open.enter_async_context(server)
        self._detector = await self._open.enter_async_context(AsyncDetector(address))
        limits = (await self._detector.model()).limits
        self._read = partial(self._s3.read, max_bytes=limits.max_media_bytes)

    async def _judge(self, places: Iterable[str]) -> dict[str, Answer]:
        answers = detect_each(self._detector, places, concurrency=IN_FLIGHT, read=self._read)
        return {place: answer async for place, answer in answers}


def _place(name: str) -> str:
    """Where an actor finds it, whose working folder is another."""
    return name if is_uri(name) else str(Path(name).absolute())


app = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)


@app.command()
def main(
    media: Annotated[list[str], typer.Argument(help="Files and folders that every machine has, s3://…/.")],
    output: Annotated[Path, typer.Option(help="Predictions: .csv, .jsonl or .parquet, on this machine.")],
    resume: Annotated[bool, typer.Option("--resume", help="Skip what --output already has.")] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="Of the cluster. Default: RAY_ADDRESS, else the one on this machine, else start one."
        ),
    ] = None,
    actors: Annotated[int, typer.Option(help="Engines.", min=1)] = 2,
    cpus: Annotated[int, typer.Option(help="Cores for each.", min=1)] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs for each; may be a fraction.", min=0)] = 0,
    models: Annotated[Path | None, typer.Option(help="Folder of models. Default: the server's.")] = None,
    s3_profile: S3Profile = None,
    s3_access_key: S3AccessKey = None,
    s3_secret_key: S3SecretKey = None,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """Judges each medium on a Ray cluster.

    Exits with 0 if all were answered, 1 if any failed, 2 if the command is wrong.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"must end in {' or '.join(SUFFIXES)}", param_hint="--output")
    console = Console()
    s3 = s3_of(s3_profile, s3_access_key, s3_secret_key, s3_endpoint)
    failed = 0
    try:
        if find_spec("ray") is None:
            raise missing_package("batch scoring needs Ray", "ray")
        names = find_media(media, s3)
        with opened(output, resume=resume) as out:
            left = [name for name in names if out.lacks(name)]
            if left:
                import ray

                ray.init(address=address, log_to_driver=False)
                pool = Pool(actors, cpus, gpus, models and models.absolute())
                for one in track(score(left, pool, s3), "detecting", len(left), console=console):
                    out.write(one)
                    failed += one.verdict is None
    except DetectionError as error:
        console.print(show.panel(str(output), error))
        raise typer.Exit(1) from error
    console.print(f"{len(left) - failed} judged, {failed} failed, {len(names) - len(left)} skipped")
    raise typer.Exit(1 if failed else 0)


if __name__ == "__main__":
    show.escape_unencodable()
    sys.exit(app(prog_name="python -m clients.cluster"))
