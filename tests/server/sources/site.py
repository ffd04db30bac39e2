"""A site that speaks TLS, with answers of every kind."""

import gzip
import http.server
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import trustme

from server.sources.https import Https
from tests import media
from tests.http_server import QuietHandler, serving

PHOTO = media.photo_jpeg(64, 48)
PACKED = gzip.compress(bytes(10**6))
BAD_LOCATIONS = {
    "/to/nowhere": "https://[bad",
    # Three times as long once it is quoted.
    "/to/far-away": "/" + "|" * 30_000,
}
LARGE = 4_000_000
"""Bytes that come of the body of /large-and-…, which is longer."""
_BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + bytes(LARGE)
# Beginning, what follows it again and again, how often, and with which pause.
_DRIPS: dict[str, tuple[bytes, bytes, int, float]] = {
    "/endless-headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 100_000, 0.0),
    "/trickling-header": (b"HTTP/1.1 200 OK\r\nX: ", b"y", 100_000, 0.05),
    "/large-and-cut": (_BEGUN, b"", 0, 0.0),
    "/large-and-stalled": (_BEGUN, b"", 100_000, 0.05),
}


class _Answers(QuietHandler):
    """What each path answers; visits are noted."""

    protocol_version = "HTTP/1.1"
    server: "Site"

    def do_GET(self) -> None:
        self.server.visits.append((self.headers["Host"].partition(":")[0], self.path))
        self.server.headers = dict(self.headers)
        path = unquote(self.path.partition("?")[0])
        if path.startswith("/to/"):
            return self._send(302, b"", Location=BAD_LOCATIONS.get(path, self.path.removeprefix("/to/")))
        if path.startswith("/status/"):
            return self._send(int(path.rpartition("/")[2]), b"no")
        if path == "/photo.jpg":
            facts = {"Content-Type": "image/jpeg", "ETag": 'W/"abc"', "Last-Modified": self.server.date}
            return self._send(200, PHOTO, **facts)
        if path == "/packed":
            return self._send(200, PACKED, **{"Content-Encoding": "gzip"})
        if path == "/chunked":
            return self._chunked(b"x" * 1000, 1000)
        if path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            self.close_connection = True
        elif path == "/trickle":
            self._chunked(b"x", 10_000, pause=0.05)
        elif path in _DRIPS:
            self._drip(*_DRIPS[path])
        return None

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunked(self, part: bytes, count: int, pause: float = 0.0) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._drip(b"", b"%x\r\n%b\r\n" % (len(part), part), count, pause)

    def _drip(self, first: bytes, part: bytes, count: int, pause: float = 0.0) -> None:
        self.close_connection = True
        try:
            self.wfile.write(first)
            while count and not self.server.closing.wait(pause):
                self.wfile.write(part)
                count -= 1
        except OSError:
            self.server.hung_up.set()


DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


class Site(http.server.ThreadingHTTPServer):
    """On a loopback port.

    Args:
        names: its certificate is for these.

    Attributes:
        trusting: TLS context of a client that trusts its certificate.
        visits: host and path of each request.
        headers: of the last one.
        date: that it says the photo was last modified.
        closing: ends what drips.
        hung_up: set when a reader of that has left.
    """

    daemon_threads = True

    def __init__(self, *names: str) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self._context, self.trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority = trustme.CA()
        authority.issue_cert(*names).configure_cert(self._context)
        authority.configure_trust(self.trusting)
        self.visits: list[tuple[str, str]] = []
        self.headers: dict[str, str] = {}
        self.date = DATE
        self.hung_up = threading.Event()
        self.closing = threading.Event()

    def source(self, hosts: Sequence[str], max_seconds: float) -> Https:
        """Reads from this site under all names, as if it were not on the loopback interface."""
        return Https(
            hosts,
            max_seconds,
            resolve=lambda *_: ["127.0.0.1"],
            is_allowed=lambda address: True,
            context=self.trusting,
        )

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the connection's own thread, so that a client who says nothing holds up nobody.
        try:
            with self._context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            return


@contextmanager
def running_site(*names: str) -> Iterator[Site]:
    """Answers until the context is left."""
    with Site(*names) as site, serving(site):
        yield site
        site.closing.set()
