"""The gRPC server on its port: what one connection may do, and how it is protected."""

import ipaddress
import logging
import resource
import socket
from collections.abc import Sequence
from contextlib import suppress

import grpc

from server.errors import CannotListen
from server.rpc.tls import server_credentials
from server.settings import Settings

log = logging.getLogger(__name__)

_PING_TIMEOUT_SECONDS = 20
_FOREVER = 2**31 - 1
# Calls that came at once, and are not yet looked at.
_MOST_PENDING = 16_384
_LARGEST_FRAME = 2**20
# What decoders, sources, the engine, logs and metrics need beside the connections, and far more.
_OTHER_FILES = 1024


def listener(settings: Settings, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> grpc.aio.Server:
    """A server that has neither services nor a port yet."""
    options: list[tuple[str, int]] = [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # Unless that is wanted, a second server would silently take half of the requests.
        ("grpc.so_reuseport", int(settings.shared_port)),
        # Clients may ping once a minute while they wait; by default that would cut them off.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
        ("grpc.max_allowed_incoming_connections", _room_for(settings.max_connections)),
        ("grpc.max_concurrent_streams", settings.max_streams_per_connection),
        ("grpc.server_handshake_timeout_ms", _milliseconds(settings.handshake_timeout_seconds)),
        ("grpc.max_connection_idle_ms", _milliseconds(settings.connection_idle_timeout_seconds)),
        # A peer that vanished without a word would keep its connection for hours.
        ("grpc.keepalive_time_ms", _milliseconds(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _milliseconds(_PING_TIMEOUT_SECONDS)),
        # By default gRPC lets each call send ahead as much as the connection carries, and counts it nowhere.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", settings.receive_window_bytes),
        # The probe would have let frames grow, too; the usual ones of 16 KiB are slower.
        ("grpc.http2.max_frame_size", min(settings.receive_window_bytes, _LARGEST_FRAME)),
        # Above it calls are cancelled, with nothing that says why; by default some of a thousand are.
        ("grpc.server.max_pending_requests", _MOST_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _MOST_PENDING),
    ]
    if settings.max_connection_age_seconds:
        grace = settings.max_connection_age_grace_seconds
        options += [
            ("grpc.max_connection_age_ms", _milliseconds(settings.max_connection_age_seconds)),
            ("grpc.max_connection_age_grace_ms", _milliseconds(grace)),
        ]
    return grpc.aio.server(options=options, interceptors=interceptors)


def bind(server: grpc.aio.Server, settings: Settings) -> str:
    """Takes the port, and gives host:port.

    Raises:
        CannotListen: the address is not to be had.
        InvalidCredentials: TLS is wanted, and its files cannot be used.
    """
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    wanted = f"{host}:{settings.port}"
    try:
        port = _add_port(server, wanted, settings)
    except RuntimeError as error:
        raise CannotListen(f"cannot listen on {wanted}: {_refusal(settings) or error}") from error
    return f"{host}:{port}"


def _room_for(connections: int) -> int:
    """As many, or what the system's limit of open files allows.

    Usually it is 1024, but may be raised. Connections, which need no token, would take all of them, and leave
    none for new decoders, files to read and metrics.
    """
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if files == resource.RLIM_INFINITY or files >= wanted:
        return connections
    raised = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    with suppress(ValueError, OSError):  # some systems have a lower limit than they tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, most))
        files = raised
    room = max(files - _OTHER_FILES, files // 2)
    if room >= connections:
        return connections
    log.warning(
        "room for %d connections instead of %d, as this process may open only %d files (ulimit -n)",
        *(room, connections, files),
    )
    return room


def _add_port(server: grpc.aio.Server, wanted: str, settings: Settings) -> int:
    if settings.tls_certificate and settings.tls_key:
        credentials = server_credentials(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        return server.add_secure_port(wanted, credentials)
    if not _is_loopback(settings.host):
        exposed = "media and tokens" if settings.tokens else "media"
        log.warning("no TLS on %s: %s travel in plain text; set --tls-certificate", wanted, exposed)
    return server.add_insecure_port(wanted)


def _refusal(settings: Settings) -> str | None:
    """Why the system does not give the address, which gRPC keeps to itself."""
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        socket.create_server(address[:2], family=family).close()
    except OSError as error:
        return error.strerror
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _milliseconds(seconds: float) -> int:
    # gRPC takes the largest of its integers for ever.
    return round(min(seconds * 1000, _FOREVER))
