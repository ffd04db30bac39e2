"""The command line's flags about S3."""

from typing import Annotated

import typer

S3Profile = Annotated[str | None, typer.Option(help="Profile of the shared AWS files.")]
S3AccessKey = Annotated[
    str | None,
    typer.Option(help="Explicit key id. Default: boto3's own search.", envvar="DETECTOR_S3_ACCESS_KEY"),
]
S3SecretKey = Annotated[
    str | None,
    typer.Option(
        help="Its secret; better in the variable, as others can see command lines.",
        envvar="DETECTOR_S3_SECRET_KEY",
        show_default=False,
    ),
]
S3Endpoint = Annotated[str | None, typer.Option(help="URL of an S3-compatible store. Default: AWS.")]
