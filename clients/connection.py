"""Which server the command line asks, and the options that say so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import grpc
import typer

from clients.aio import AsyncDetector
from clients.channel import tls
from clients.embedded import embedded_server

Server = Annotated[str, typer.Option(help="host:port of the server.")]
UseTls = Annotated[bool, typer.Option("--tls", help="Speak TLS.", envvar="DETECTOR_TLS")]
Ca = Annotated[
    Path | None,
    typer.Option(
        help="PEM of the CA that signs the server's certificate; implies --tls.",
        envvar="DETECTOR_CA",
        exists=True,
        dir_okay=False,
    ),
]
Cert = Annotated[
    Path | None,
    typer.Option(
        help="PEM of your own certificate; implies --tls.",
        envvar="DETECTOR_CERT",
        exists=True,
        dir_okay=False,
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(help="PEM of its key.", envvar="DETECTOR_KEY", exists=True, dir_okay=False),
]
Token = Annotated[str | None, typer.Option(help="Bearer token.", envvar="DETECTOR_TOKEN")]
Timeout = Annotated[float, typer.Option(help="Seconds for one answer, retries included.", min=0.001)]
Embedded = Annotated[bool, typer.Option("--embedded", help="Start the engine in this process instead.")]
Models = Annotated[Path | None, typer.Option(help="Folder of models for --embedded. Default: the server's.")]


@dataclass(frozen=True, slots=True)
class Connection:
    """Which server to ask: the one at `server`, or one inside this process. Raises BadParameter."""

    server: str
    credentials: grpc.ChannelCredentials | None
    token: str | None
    timeout: float
    embedded: bool
    models: Path | None

    def __post_init__(self) -> None:
        if self.models and not self.embedded:
            raise typer.BadParameter("needs --embedded: a server has its own", param_hint="--models")

    def __str__(self) -> str:
        return "embedded server" if self.embedded else self.server

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncDetector]:
        if self.embedded:
            async with (
                embedded_server(self.models) as address,
                AsyncDetector(address, timeout=self.timeout) as detector,
            ):
                yield detector
        else:
            async with AsyncDetector(
                self.server, timeout=self.timeout, token=self.token, credentials=self.credentials
            ) as detector:
                yield detector


def credentials_for(
    use_tls: bool, ca: Path | None, cert: Path | None, key: Path | None
) -> grpc.ChannelCredentials | None:
    """Of the options; None for plain text. Raises BadParameter."""
    try:
        return tls(ca, cert, key) if use_tls or ca or cert or key else None
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--ca, --cert, --key") from error
