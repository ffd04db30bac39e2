"""How the clients reach the server: channel options, retries, TLS, the token."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

SERVICE = "deepfake.v1.Detector"
DEFAULT_TARGET = "localhost:50051"
DEFAULT_TIMEOUT = 60.0
DEFAULT_RETRIES = 4
"""gRPC itself allows no more."""

FIRST_PAUSE = 0.2
RETRYABLE = ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
RETRY_BUFFER_BYTES = 64 * 2**20
KEEPALIVE_MS = 60_000


def service_config(retries: int) -> str:
    """gRPC's retry policy; it also honours the server's `grpc-retry-pushback-ms`.

    Only for unary calls: when gRPC (1.85.1) tries a stream again, it now and then leaves out messages
    that were being sent at that moment, without an error.
    """
    names = [{"service": SERVICE, "method": method} for method in ("Detect", "GetModel")]
    method: dict[str, Any] = {"name": names}
    if retries:
        method["retryPolicy"] = {
            "maxAttempts": retries + 1,
            "initialBackoff": f"{FIRST_PAUSE}s",
            "maxBackoff": "5s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": RETRYABLE,
        }
    return json.dumps({"methodConfig": [method]})


def pauses(retries: int) -> Iterator[float | None]:
    """Seconds to wait after each try of an upload; None after the last."""
    yield from (FIRST_PAUSE * 2**number for number in range(retries))
    yield None


def channel_options(retries: int) -> list[tuple[str, int | str]]:
    """Options for a channel whose failed calls are tried up to `retries` (0 to 4) more times.

    Raises:
        ValueError: gRPC does not do that many.
    """
    if not 0 <= retries <= DEFAULT_RETRIES:
        raise ValueError(f"retries must be 0 to {DEFAULT_RETRIES}, not {retries}")
    return [
        ("grpc.service_config", service_config(retries)),
        # What has left this buffer cannot be sent again; gRPC's default would not hold one photo.
        ("grpc.per_rpc_retry_buffer_size", RETRY_BUFFER_BYTES),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        # A restarted server is found again within the retries' own backoff.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]


def tls(
    ca: str | Path | None = None, cert: str | Path | None = None, key: str | Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials for a server that speaks TLS.

    Args:
        ca: PEM file of those who sign the server's certificate; by default the well-known authorities.
        cert, key: PEM files of the client's own certificate and key, where the server asks for one.

    Raises:
        ValueError: one of `cert` and `key` without the other.
        OSError: a file cannot be read.
    """
    if (cert is None) != (key is None):
        raise ValueError("cert and key: one needs the other")
    ca_pem, key_pem, cert_pem = (
        None if path is None else Path(path).read_bytes() for path in (ca, key, cert)
    )
    return grpc.ssl_channel_credentials(ca_pem, key_pem, cert_pem)


def call_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """Metadata of every call."""
    return (("authorization", f"Bearer {token}"),) if token else ()
