"""Clients of AWS, all made in one way: credentials, region, time-outs, retries."""

from dataclasses import dataclass
from typing import Any


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
        """
        # Loading boto3 takes longer than starting the rest of the server.
        from botocore.config import Config

        config = Config(
            retries={"mode": "standard", "total_max_attempts": self.max_attempts},
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            max_pool_connections=self.max_connections,
        )
        return self._session().create_client(
            service, region_name=self.region, endpoint_url=endpoint, config=config
        )

    def _session(self) -> Any:
        import botocore.session

        session = botocore.session.Session(profile=self.profile)
        if self.role_arn:
            _assume(session, botocore.session.Session(profile=self.profile), self.role_arn)
        return session


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
