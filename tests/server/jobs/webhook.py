"""A receiver of verdicts on a loopback port that fails as told."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """Attributes:
    url: where it listens.
    failures: statuses of the next answers, one each; then 204.
    retry_after: what each answer asks for, in seconds.
    endless: whether the bodies of answers never end.
    received: headers and body of each POST.
    """

    url: str = ""
    failures: list[int] = field(default_factory=list)
    retry_after: str = ""
    endless: bool = False
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def webhook_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append((dict(self.headers), body))
            self.send_response(receiver.failures.pop(0) if receiver.failures else 204)
            if receiver.retry_after:
                self.send_header("Retry-After", receiver.retry_after)
            self.end_headers()
            while receiver.endless:
                self.wfile.write(bytes(1000))
                time.sleep(0.01)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/verdicts"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
