"""An HTTP server on a loopback port."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are part of the tests."""


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serves with a handler, each connection in a thread of its own; gives the URL."""
    with _Server(("127.0.0.1", 0), handler) as server, serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Serves meanwhile, in a thread."""
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
