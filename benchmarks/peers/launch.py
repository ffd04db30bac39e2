"""What a server program is told: its only argument names this as a JSON file."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

MODEL, PAYLOAD, ANSWER = "detector", "payload", "fake_probability"
"""Names of the model, its input and its output, where a protocol wants any."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One server of one workload.

    Attributes:
        model: the graph to run: .../<name>/<version>/model.onnx, or that in another precision beside it, or
            if `raw` what tf2onnx made of its weights.
        folder: the server's own, for files it needs while it runs.
        environment: folder of the virtual environment that the peer is installed in.
        port: to listen on, on this machine.
        encoded: whether requests are JPEG files; otherwise uint8 RGB, height × width × 3 bytes.
        height, width: of a frame in pixels.
        workers: runs of the graph at once, on one thread each.
        batch: requests worth running together; 1: none.
        cached: whether our server may answer from its cache.
        precision: of the graph, for our server, which looks for its file itself.
    """

    model: str
    folder: str
    environment: str
    port: int
    encoded: bool
    height: int
    width: int
    workers: int
    batch: int
    cached: bool = False
    raw: bool = False
    precision: str = "fp32"

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))


def read_launch(file: str | None = None) -> Launch:
    """What is in the file, or in the one that the command line names."""
    return Launch(**json.loads(Path(file or sys.argv[1]).read_text()))
