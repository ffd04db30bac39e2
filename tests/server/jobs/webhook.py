"""A receiver of verdicts on a loopback port that fails as told."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.http_server import QuietHandler, http_server


@dataclass
class Receiver:
    """What it answers, and what it got.

    Attributes:
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

    class Handler(QuietHandler):
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

    with http_server(Handler) as url:
        receiver.url = f"{url}/verdicts"
        yield receiver
