"""AWS on a loopback port (moto in server mode), and a proxy in front of it that misbehaves as told."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

import pytest
from moto.server import ThreadedMotoServer

from tests.http_server import QuietHandler, http_server

REGION = "us-east-1"
_HOP_HEADERS = {"connection", "transfer-encoding", "content-length"}


@contextmanager
def aws_server() -> Iterator[str]:
    """Serves S3, SQS, STS and the rest, empty at first; gives the URL."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def use_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some credentials and a region in the environment, and nothing from this machine's own AWS files."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "nowhere")


@contextmanager
def expired_credentials(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In place of all others, from an endpoint as containers have."""
    expired = {
        "AccessKeyId": "id",
        "SecretAccessKey": "key",
        "Token": "t",
        "Expiration": "2020-01-01T00:00:00Z",
    }

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            body = json.dumps(expired).encode()
            _answer(self, 200, {}, body, len(body))

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with http_server(Handler) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        yield


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of its answer.

    Attributes:
        status: answer with it, and with `body` and `headers`, instead of the true answer.
        cut_after: close the connection after so many bytes of the answer's body.
        delay: send the true answer after so many seconds.
        no_length: send it without saying how long it is.
    """

    status: int = 0
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    delay: float = 0.0
    no_length: bool = False


def s3_error(status: int, code: str) -> Fault:
    """As S3 would say it."""
    return Fault(status, f"<Error><Code>{code}</Code><Message>as told</Message></Error>")


class FaultyProxy:
    """Passes requests on to `target`.

    Attributes:
        url: where it listens.
        faults: of the next requests, one each; None lets one pass.
        requests: method, path and headers of each that came.
    """

    def __init__(self, target: str) -> None:
        self.url = ""
        self.faults: list[Fault | None] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self._target = urlsplit(target).netloc

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        content = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = dict(handler.headers)
        self.requests.append((handler.command, handler.path, headers))
        fault = (self.faults.pop(0) if self.faults else None) or Fault()
        if fault.status:
            body = fault.body.encode()
            _answer(handler, fault.status, fault.headers, body[: fault.cut_after], len(body))
            return
        if fault.delay:
            time.sleep(fault.delay)
        upstream = http.client.HTTPConnection(self._target)
        upstream.request(handler.command, handler.path, content, headers)
        answer = upstream.getresponse()
        length = None if fault.no_length else int(answer.headers.get("Content-Length", 0))
        body = answer.read()[: fault.cut_after]
        _answer(handler, answer.status, dict(answer.headers), body, length)
        upstream.close()


def _answer(
    handler: BaseHTTPRequestHandler,
    status: int,
    headers: dict[str, str],
    body: bytes,
    length: int | None,
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() not in _HOP_HEADERS:
            handler.send_header(name, value)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
    handler.close_connection = length != len(body)


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    """A proxy in front of `target`, without faults at first."""
    proxy = FaultyProxy(target)

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            proxy._handle(self)

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    with http_server(Handler) as proxy.url:
        yield proxy
