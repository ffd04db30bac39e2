"""The command line: python -m clients."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clients import aws_check, show
from clients.batch import detect_each, find_media
from clients.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT
from clients.connection import (
    Ca,
    Cert,
    Connection,
    Embedded,
    Key,
    Models,
    Server,
    Timeout,
    Token,
    UseTls,
    credentials_for,
)
from clients.errors import DetectionError
from clients.health import is_serving
from clients.output import SUFFIXES, Output, opened
from clients.predictions import prediction
from clients.requests import Answer, Options, utf8
from clients.s3 import S3, SCHEME
from clients.s3_flags import S3AccessKey, S3Endpoint, S3Profile, S3SecretKey, s3_of
from deepfake.v1 import detector_pb2 as pb

PANELS_UP_TO = 10
"""Media; of more, each gets a line."""

INTERRUPTED = 130
"""Exit code, as of shells."""

Report = Callable[[str, Answer], None]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    # Tokens and keys are among them; up to 0.22 Typer shows them unless told.
    pretty_exceptions_show_locals=False,
    help="Asks a deepfake detector.",
)


class Modality(StrEnum):
    image = "image"
    video = "video"
    audio = "audio"


class Priority(StrEnum):
    batch = "batch"
    normal = "normal"
    interactive = "interactive"


@app.command()
def detect(
    media: Annotated[
        list[str], typer.Argument(help="Files, folders, URIs that the server can read, s3://bucket/prefix/.")
    ],
    server: Server = DEFAULT_TARGET,
    embedded: Embedded = False,
    models: Models = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print whole answers, one JSON a line.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Also write predictions to this .csv, .jsonl or .parquet.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Skip what --output already has.")] = False,
    modalities: Annotated[list[Modality] | None, typer.Option(help="Judge only this; repeatable.")] = None,
    threshold: Annotated[float | None, typer.Option(help="FAKE at or above it.", min=0, max=1)] = None,
    frames_per_video: Annotated[
        int | None, typer.Option(help="Frames sampled of a video.", min=1, max=2**32 - 1)
    ] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Show every frame, clip, window.")] = False,
    heatmap: Annotated[bool, typer.Option("--heatmap", help="Class-activation maps, with --json.")] = False,
    priority: Annotated[
        Priority | None,
        typer.Option(help=f"While the server is busy. Default: batch for more than {PANELS_UP_TO} media."),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Requests in flight.", min=1)] = 16,
    read_s3: Annotated[bool, typer.Option("--read-s3", help="Read s3:// here, and send the bytes.")] = False,
    s3_profile: S3Profile = None,
    s3_access_key: S3AccessKey = None,
    s3_secret_key: S3SecretKey = None,
    s3_endpoint: S3Endpoint = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    token: Token = None,
    use_tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Judges each medium: real, fake or inconclusive.

    Exits with 0 if all were answered, 1 if any failed, 2 if the command is wrong.
    """
    if output and output.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"must end in {' or '.join(SUFFIXES)}", param_hint="--output")
    if resume and not output:
        raise typer.BadParameter("needs --output", param_hint="--resume")
    s3 = s3_of(s3_profile, s3_access_key, s3_secret_key, s3_endpoint)
    try:
        names = find_media(media, s3)
    except DetectionError as error:
        _fail("S3", error)
    if not names:
        raise typer.BadParameter("no media in there", param_hint="MEDIA")
    options: Options = {
        "modalities": [modality.value for modality in modalities] if modalities else None,
        "threshold": threshold,
        "frames_per_video": frames_per_video,
        "timeline": timeline,
        "heatmap": heatmap,
        "priority": priority.value if priority else "batch" if len(names) > PANELS_UP_TO else None,
    }
    credentials = credentials_for(use_tls, ca, cert, key)
    connection = Connection(server, credentials, token, timeout, embedded, models)
    # Beside JSON on stdout, the progress bar has to go elsewhere.
    console = Console(stderr=as_json)
    report = _print_json if as_json else _printer(console, in_full=timeline or len(names) <= PANELS_UP_TO)
    try:
        records = opened(output, resume=resume) if output else nullcontext(None)
        asked = _detect(
            connection, names, options, concurrency, s3 if read_s3 else None, records, report, console
        )
        counts = asyncio.run(_interruptible(asked))
    except DetectionError as error:
        _fail(str(connection), error)
    if len(names) > 1:
        console.print(show.summary(counts, len(names) - counts.total()))
    raise typer.Exit(1 if counts[show.FAILED] else 0)


@app.command()
def model(
    server: Server = DEFAULT_TARGET,
    embedded: Embedded = False,
    models: Models = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")] = False,
    timeout: Timeout = DEFAULT_TIMEOUT,
    token: Token = None,
    use_tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Shows what is being served."""
    credentials = credentials_for(use_tls, ca, cert, key)
    connection = Connection(server, credentials, token, timeout, embedded, models)

    async def ask() -> pb.GetModelResponse:
        async with connection.open() as detector:
            return await detector.model()

    try:
        answer = asyncio.run(ask())
    except DetectionError as error:
        _fail(str(connection), error)
    if as_json:
        print(json.dumps(MessageToDict(answer, preserving_proto_field_name=True)))
    else:
        Console().print(show.model_table(answer))


@app.command("aws-check")
def check_aws(
    uri: Annotated[str | None, typer.Argument(help="s3://bucket/prefix/ or s3://bucket/key to try.")] = None,
    role_arn: Annotated[str | None, typer.Option(help="Role to assume first.")] = None,
    s3_profile: S3Profile = None,
    s3_access_key: S3AccessKey = None,
    s3_secret_key: S3SecretKey = None,
    s3_endpoint: S3Endpoint = None,
) -> None:
    """Says which AWS credentials are found here, whose they are, and whether a bucket can be read.

    Exits with 0 if all is well, 1 if not.
    """
    if uri and not uri.startswith(SCHEME):
        raise typer.BadParameter("must start with s3://", param_hint="URI")
    s3 = s3_of(s3_profile, s3_access_key, s3_secret_key, s3_endpoint)
    fine = True
    for finding in aws_check.check(s3, role_arn, uri):
        Console().print(show.finding(finding), soft_wrap=True)
        fine &= finding.fine
    raise typer.Exit(0 if fine else 1)


@app.command()
def health(
    server: Server = DEFAULT_TARGET,
    timeout: Timeout = 3.0,
    use_tls: UseTls = False,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
) -> None:
    """Exits with 0 if the server is ready, and with 1 if it starts, drains or is not there."""
    try:
        ready = is_serving(server, credentials_for(use_tls, ca, cert, key), timeout)
    except DetectionError as error:
        _fail(server, error)
    print("SERVING" if ready else "NOT_SERVING")
    raise typer.Exit(0 if ready else 1)


async def _interruptible(asked: Awaitable[Counter[str]]) -> Counter[str]:
    """The same; Ctrl-C ends the process once all is closed that `asked` had opened."""
    try:
        return await asked
    except asyncio.CancelledError:
        # Threads that read from a store or a pipe which gives nothing would be waited for.
        os._exit(INTERRUPTED)


async def _detect(
    connection: Connection,
    names: list[str],
    options: Options,
    concurrency: int,
    s3: S3 | None,
    records: AbstractContextManager[Output | None],
    report: Report,
    console: Console,
) -> Counter[str]:
    """Judges all that `records` lacks, reports and records each, and counts the verdicts."""
    counts: Counter[str] = Counter()
    columns = (TextColumn("detecting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with connection.open() as detector:
        # One clear error, rather than one for each file, if nobody is there; and earlier records are not
        # given up for that.
        limits = (await detector.model()).limits
        read = partial(s3.read, max_bytes=limits.max_media_bytes) if s3 else None
        with records as out:
            left = [name for name in names if not out or out.lacks(name)]
            quiet = len(left) < 2 or not console.is_terminal
            with Progress(
                *columns, console=console, transient=True, redirect_stdout=False, disable=quiet
            ) as progress:
                task = progress.add_task("", total=len(left))
                judged = detect_each(detector, left, concurrency=concurrency, read=read, **options)
                async for name, answer in judged:
                    report(name, answer)
                    if out:
                        out.write(prediction(name, answer))
                    counts[show.outcome(answer)] += 1
                    progress.advance(task)
    return counts


def _printer(console: Console, *, in_full: bool) -> Report:
    def show_answer(name: str, answer: Answer) -> None:
        console.print(show.panel(name, answer) if in_full else show.line(name, answer), soft_wrap=not in_full)

    return show_answer


def _print_json(name: str, answer: Answer) -> None:
    # As in --output: of a name that is not UTF-8, pandas and others would read none of the lines.
    result: dict[str, object] = {"path": utf8(name)}
    if isinstance(answer, DetectionError):
        result["error"] = {"code": answer.code, "message": utf8(answer.message), "hint": answer.hint}
    else:
        result["response"] = MessageToDict(answer, preserving_proto_field_name=True)
    print(json.dumps(result), flush=True)


def _fail(server: str, error: DetectionError) -> None:
    """Ends the command when nothing could be asked."""
    Console(stderr=True).print(show.panel(server, error))
    raise typer.Exit(1)


if __name__ == "__main__":
    show.escape_unencodable()
    sys.exit(app(prog_name="python -m clients"))
