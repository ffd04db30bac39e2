"""How the clients reach the server: channel options, retries, TLS, the token."""

import ipaddress
import random
import ssl
import sys
import time
from pathlib import Path

import grpc

from clients.errors import SOURCE_UNAVAILABLE, DetectionError

DEFAULT_TARGET = "localhost:50051"
DEFAULT_TIMEOUT = 60.0
# Where nobody knows when to come back: the server may be gone, or at another address.
UNINVITED_RETRIES = 5

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
# gRPC cannot tell from the past what is centuries away, such as infinity.
LONGEST_TIMEOUT = 1e9
KEEPALIVE_MS = 60_000
IDLE_MS = 300_000

Metadata = tuple[tuple[str, str], ...]


class Tries:
    """How often and when one call is tried within its timeout.

    Args:
        retries: at most; None for any number that the server invites to, and a few more.
    """

    def __init__(self, timeout: float, retries: int | None) -> None:
        self._deadline = time.monotonic() + min(timeout, LONGEST_TIMEOUT)
        self._limited = retries is not None
        self._left = UNINVITED_RETRIES if retries is None else retries
        self._pause = FIRST_PAUSE

    def seconds_left(self) -> float:
        return self._deadline - time.monotonic()

    def pause_after(self, error: DetectionError) -> float:
        """Seconds until the next try. Raises the error if there is none."""
        # Apart from each other, so that those who failed together do not come back together.
        pause = self._pause * random.uniform(0.75, 1.25)  # noqa: S311
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        # When a source that the server reads comes back, the server does not know either.
        invited = error.retry_after is not None and error.code != SOURCE_UNAVAILABLE
        self._left -= self._limited or not invited
        # Growing also where little is asked for: what lasts is not to be made worse by those who wait.
        wait = max(pause, (error.retry_after or 0) * random.uniform(1, 1.25))  # noqa: S311
        if self._left < 0 or not error.retryable or wait > self.seconds_left():
            try:
                raise error
            finally:
                del error  # which holds this frame: a circle, with the media that were sent
        return wait


# Without gRPC's own retry policy (1.85.1): it gives up when headers have arrived, which proxies send
# before they fail, and now and then leaves out messages of a stream that it repeats.
OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    # A name with several addresses is a server behind each, as of a headless service.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    # It would open again at once what a server closes because nobody calls.
    ("grpc.client_idle_timeout_ms", IDLE_MS),
    # A restarted server is found again before the retries are over.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def connected(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A channel to host:port; in plain text without credentials."""
    if credentials:
        return grpc.secure_channel(target, credentials, options(target))
    return grpc.insecure_channel(target, options(target))


def options(target: str) -> list[tuple[str, int | str]]:
    """Of a channel to host:port. One to this machine never goes through a proxy."""
    return [*OPTIONS, ("grpc.enable_http_proxy", int(not _is_loopback(target)))]


def _is_loopback(target: str) -> bool:
    host = target.removeprefix("dns:///").rpartition(":")[0]
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def tls(
    ca: str | Path | None = None, cert: str | Path | None = None, key: str | Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials for a server that speaks TLS.

    Args:
        ca: PEM file of the CA that signs the server's certificate; by default the well-known ones.
        cert, key: PEM files of the client's own certificate and key, where the server asks for one.

    Raises:
        ValueError: one of `cert` and `key` without the other, or files that cannot be used.
        OSError: a file cannot be read.
    """
    if (cert is None) != (key is None):
        raise ValueError("cert and key: one needs the other")
    ca_pem, key_pem, cert_pem = (
        None if path is None else Path(path).read_bytes() for path in (ca, key, cert)
    )
    # gRPC would only say that it cannot connect.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # What gRPC takes: OpenSSL by itself refuses RSA keys below 2048 bits and signatures with SHA-1.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    try:
        if ca is not None:
            context.load_verify_locations(ca)
        if cert is not None:
            # The empty passphrase keeps OpenSSL from asking for one on the terminal.
            context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        files = ", ".join(str(path) for path in (ca, cert, key) if path is not None)
        raise ValueError(f"no TLS with {files}: {error}") from error
    return grpc.ssl_channel_credentials(ca_pem, key_pem, cert_pem)


def call_metadata(token: str | None) -> Metadata:
    """Metadata of a call: the token, and the trace that the caller is in.

    Raises:
        DetectionError: the token cannot be sent.
    """
    token = token.strip() if token else ""
    if not (token.isascii() and token.isprintable()):
        raise DetectionError("INVALID_TOKEN", "a token is printable ASCII; this one is not", "Copy it again.")
    authorization = (("authorization", f"Bearer {token}"),) if token else ()
    # Whoever is in a trace has imported it; nobody else shall pay for that.
    if "opentelemetry.trace" not in sys.modules:
        return authorization
    from opentelemetry.propagate import inject

    trace: dict[str, str] = {}
    inject(trace)
    return (*authorization, *trace.items())
