"""TLS for the listener, from files that may be replaced while the server runs."""

import logging
import ssl
from pathlib import Path

import grpc

from server.errors import InvalidCredentials
from server.rpc.watched import Watched

log = logging.getLogger(__name__)


def server_credentials(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCredentials:
    """Credentials that follow their files: connections made after a change see the new certificate.

    Args:
        certificate: PEM chain, the server's own certificate first.
        key: its private key, PEM without a passphrase.
        client_ca: PEM of the CA that signs clients' certificates; with it every client must show one.

    Raises:
        InvalidCredentials: the files cannot be read or do not belong together.
    """
    files = Watched(certificate, key, *([client_ca] if client_ca else []))

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks at every handshake, on a thread of its own; None stands for no change.
        if not files.changed():
            return None
        try:
            loaded = _load(certificate, key, client_ca)
        except InvalidCredentials as error:
            log.error("the former certificate stays in use: %s", error)
            return None
        log.info("the certificate in %s is in use from now on", certificate)
        return loaded

    return grpc.dynamic_ssl_server_credentials(
        _load(certificate, key, client_ca),
        fetch,  # type: ignore[arg-type]  # the stubs do not know of None, which gRPC documents
        require_client_authentication=client_ca is not None,
    )


def _load(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    try:
        pair = (key.read_bytes(), certificate.read_bytes())
        authorities = client_ca.read_bytes() if client_ca else None
        # gRPC would notice a mistake only when the first client connects. The empty passphrase keeps
        # OpenSSL from asking for one on the terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password="")
        if client_ca:
            context.load_verify_locations(client_ca)
    except OSError as error:  # ssl.SSLError is one, too
        raise InvalidCredentials(f"no TLS with {certificate} and {key}: {error}") from error
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=authorities)
