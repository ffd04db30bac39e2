"""BentoML: a service of one worker process for each run at once; multipart in, a JSON number out.

`python -m benchmarks.peers.bentoml LAUNCH` becomes its server, which imports this module by name.
"""

import os
import sys
from pathlib import Path

import bentoml

from benchmarks.peers.launch import Launch, read_launch
from benchmarks.peers.scorer import Scorer

_LAUNCH = "BENCHMARK_LAUNCH"


def main(launch: Launch) -> None:
    bento = Path(launch.environment) / "bin" / "bentoml"
    target = "benchmarks.peers.bentoml:Detector"
    os.environ.update({_LAUNCH: sys.argv[1], "BENTOML_DO_NOT_TRACK": "true"})
    flags = ["--host", "127.0.0.1", "--port", str(launch.port)]
    os.execv(bento, [str(bento), "serve", target, *flags])  # noqa: S606


if __name__ == "__main__":
    main(read_launch())
