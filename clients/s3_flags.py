"""The command line's flags about S3."""

from typing import Annotated

import typer

from clients.s3 import S3

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


def s3_of(profile: str | None, access_key: str | None, secret_key: str | None, endpoint: str | None) -> S3:
    """What the options say. Raises BadParameter."""
    if bool(access_key) != bool(secret_key):  # with half of them boto3 would sign, or end in a TypeError
        raise typer.BadParameter("one needs the other", param_hint="--s3-access-key, --s3-secret-key")
    return S3(profile, access_key or None, secret_key or None, endpoint=endpoint)
