"""The worker's settings: all of the server's, and its own."""

from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from server.aws import BUCKET, Aws
from server.settings import LONGEST_SILENCE, Settings


class JobSettings(Settings):
    """Judges media that messages of an SQS queue name, and delivers the verdicts."""

    queue_url: str = Field(description="SQS queue to work on.")
    dead_letter_queue_url: str | None = Field(
        None, description="Queue for messages that cannot be worked off. Default: that of its redrive policy."
    )
    sqs_endpoint: str | None = Field(
        None, pattern="^https?://", description="URL of an SQS-compatible service. Default: AWS."
    )

    result_prefix: str | None = Field(
        None,
        pattern=f"^s3://{BUCKET}(/.*)?$",
        description="Deliver verdicts as objects below s3://bucket/prefix.",
    )
    result_queue_url: str | None = Field(None, description="Deliver verdicts to this SQS queue.")
    webhook_url: str | None = Field(
        None, pattern="^https?://", description="Deliver verdicts by POST to this URL, signed."
    )
    webhook_secret: SecretStr | None = Field(None, description="Key of the signature.")
    webhook_secret_file: Path | None = Field(
        None, description="File that holds it, instead; read anew when it changes."
    )
    webhook_timeout_seconds: float = Field(
        10.0, gt=0, le=LONGEST_SILENCE, description="Silence of the webhook that ends an attempt."
    )
    webhook_max_attempts: int = Field(
        5, ge=1, le=10, description="Attempts, with growing pauses between them."
    )

    max_jobs: int = Field(16, ge=1, le=1000, description="Messages worked on at once; no more are fetched.")
    visibility_timeout_seconds: int = Field(
        60, ge=2, le=43_200, description="After so long without a heartbeat others get the message."
    )
    poll_seconds: int = Field(5, ge=0, le=20, description="How long a fetch waits for messages.")
    max_receives: int = Field(
        5,
        ge=1,
        le=1000,  # as in a redrive policy
        description="A message that was received so often without success is a dead letter.",
    )
    retry_seconds: float = Field(
        5.0, ge=0, le=900, description="Pause before a failed message is tried again; doubles each time."
    )

    @property
    def aws(self) -> Aws:
        """With connections for all that is worked on at once."""
        return replace(super().aws, max_connections=self.fetch_workers + self.max_jobs)

    @property
    def sqs(self) -> Aws:
        """With patience for a fetch, which is silent as long as no message comes."""
        return replace(self.aws, read_timeout=self.aws_read_timeout_seconds + self.poll_seconds)

    @property
    def signature_key(self) -> bytes:
        """Of the webhook; read anew from the file."""
        if self.webhook_secret_file:
            return self.webhook_secret_file.read_bytes().strip()
        return self.webhook_secret.get_secret_value().encode() if self.webhook_secret else b""

    @field_validator("webhook_url")
    @classmethod
    def _webhook_has_a_host(cls, url: str | None) -> str | None:
        try:
            parts = parse_url(url or "")
        except LocationParseError:  # it repeats the URL, which may hold secrets
            raise ValueError("it is no URL") from None
        if url and (not parts.host or parts.auth):
            raise ValueError("it names no host, or a password, which would not be sent")
        return url

    @model_validator(mode="after")
    def _verdicts_go_somewhere(self) -> Self:
        if not (self.result_prefix or self.result_queue_url or self.webhook_url):
            raise ValueError("one of --result-prefix, --result-queue-url and --webhook-url is needed")
        if self.webhook_url and not (self.webhook_secret or self.webhook_secret_file):
            raise ValueError("webhook_url: needs webhook_secret or webhook_secret_file")
        if self.webhook_secret_file and not self.webhook_secret_file.is_file():
            raise ValueError(f"webhook_secret_file: there is no file {self.webhook_secret_file}")
        try:
            key = self.signature_key
        except OSError as error:
            raise ValueError(
                f"webhook_secret_file: cannot read {self.webhook_secret_file}: {error.strerror}"
            ) from error
        if self.webhook_url and not key:
            raise ValueError("webhook_secret_file: is empty")
        return self
