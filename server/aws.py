"""Clients of AWS: credentials, region, time-outs and retries, and what their errors mean."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from server.errors import SourceDenied, SourceNotFound, SourceUnavailable

log = logging.getLogger(__name__)

BUCKET = "[A-Za-z0-9_.:-]+"
"""Pattern of whatever a store allows; a URI, or several with commas, would be a bucket that no URI names."""

_NOT_FOUND = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchKey",
        "NoSuchVersion",
        "QueueDoesNotExist",
    }
)
_DENIED = frozenset({"403", "AccessDenied", "AccessDeniedException", "AccountProblem", "AllAccessDisabled"})
_BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
_CHECK = "Check this server's AWS credentials: python -m clients aws-check."


def check_bucket(name: str) -> None:
    """Raises ValueError if no bucket can have this name."""
    if not re.fullmatch(BUCKET, name):
        raise ValueError(f"{name!r} is no name of a bucket")


@dataclass(frozen=True, slots=True)
class Aws:
    """How to reach AWS, or what speaks its protocols.

    Credentials come from boto3's own chain (environment, shared files, web identity, container,
    instance), or from `profile`; with `role_arn` they are used to assume that role.

    Attributes:
        max_attempts: of one call, with growing pauses between them.
        connect_timeout, read_timeout: seconds.
        max_connections: kept open by one client.
    """

    profile: str | None = None
    role_arn: str | None = None
    region: str | None = None
    max_attempts: int = 4
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    max_connections: int = 16

    def client(self, service: str, endpoint: str | None = None) -> Any:
        """A client, safe to use from many threads.

        Args:
            endpoint: URL of a compatible service; None for AWS.

        Raises:
            botocore.exceptions.BotoCoreError: no such profile, or no region where one is needed.
            SourceDenied: the region or endpoint makes no URL, as an empty one does.
        """
        session = self._session()
        if self.role_arn:
            _assume(session, self._session(), self.role_arn)
        try:
            client = session.create_client(service, endpoint_url=endpoint)
        except ValueError as error:
            log.warning("no client for %s: %s", service, error)
            problem = "this server's AWS region or endpoint is none"
            hint = "Check --aws-region, AWS_DEFAULT_REGION and the endpoints."
            raise SourceDenied(problem, hint) from error
        client.meta.events.register("before-call.s3.HeadBucket", _not_again)
        return client

    def _session(self) -> Any:
        # Loading boto3 takes longer than starting the rest of the server.
        import botocore.session
        from botocore.config import Config

        session = botocore.session.Session(profile=self.profile)
        # Of all its clients, also of those that only get credentials.
        session.set_default_client_config(
            Config(
                retries={"mode": "standard", "total_max_attempts": self.max_attempts},
                connect_timeout=self.connect_timeout,
                read_timeout=self.read_timeout,
                max_pool_connections=self.max_connections,
            )
        )
        if self.region:
            session.set_config_variable("region", self.region)
        return session


def _not_again(context: dict[str, Any], **_: Any) -> None:
    # boto3 calls it to learn a bucket's region when it is redirected, and again when that is, without end.
    context.setdefault("s3_redirect", {})["redirected"] = True


def _assume(session: Any, source: Any, role_arn: str) -> None:
    """Gives `session` the role's credentials, renewed before they expire, in exchange for `source`'s."""
    from botocore.credentials import (
        AssumeRoleCredentialFetcher,
        CredentialProvider,
        CredentialResolver,
        DeferredRefreshableCredentials,
    )
    from botocore.exceptions import NoCredentialsError

    class Role(CredentialProvider):  # type: ignore[misc]
        METHOD = "assume-role"

        def load(self) -> Any:
            credentials = source.get_credentials()
            if credentials is None:
                raise NoCredentialsError
            fetcher = AssumeRoleCredentialFetcher(
                source.create_client,
                credentials,
                role_arn,
                extra_args={"RoleSessionName": "deepfake-detector"},
            )
            return DeferredRefreshableCredentials(fetcher.fetch_credentials, self.METHOD)

    session.register_component("credential_provider", CredentialResolver([Role()]))


@contextmanager
def typed_errors(place: str) -> Iterator[None]:
    """Turns boto3's exceptions into SourceError.

    Callers get to know what failed; names of accounts and endpoints only go to the log.

    Args:
        place: URI or URL that is being used.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        NoRegionError,
        PartialCredentialsError,
        ProfileNotFound,
    )

    try:
        yield
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        # The latter where the body is not S3's, but of a proxy.
        code = error.response["Error"].get("Code") or str(status)
        if code == "NoSuchBucket":  # of a place to write to, nothing but its bucket has to be there
            raise SourceNotFound(f"the bucket of {place} does not exist") from error
        if code in _NOT_FOUND:
            raise SourceNotFound(f"there is no {place}") from error
        log.warning("AWS refused %s: %s", place, error)
        if code in _DENIED:
            raise SourceDenied(f"AWS denies this server {place}") from error
        if code in _BAD_CREDENTIALS:
            raise SourceDenied(f"AWS does not accept this server's credentials: {code}", _CHECK) from error
        if code == "PreconditionFailed":
            raise SourceUnavailable(f"{place} was replaced while it was being read") from error
        raise SourceUnavailable(f"AWS answered {code} for {place}") from error
    except (
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        RuntimeError,  # all that botocore raises where renewed credentials have expired already
    ) as error:
        log.warning("no credentials for %s: %s", place, error)
        raise SourceDenied("this server has no AWS credentials", _CHECK) from error
    except NoRegionError as error:
        raise SourceDenied("this server knows no AWS region", "Set --aws-region.") from error
    except BotoCoreError as error:
        log.warning("%s could not be used: %s", place, error)
        raise SourceUnavailable(f"{place} could not be reached: {type(error).__name__}") from error
