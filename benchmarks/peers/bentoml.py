"""BentoML: one worker process for each run at once; raw bodies in, a JSON number out.

Not batched: BentoML batches lists only, which it wants as JSON or multipart.

`python -m benchmarks.peers.bentoml LAUNCH` becomes its server, which imports this module by name.
"""

import os
import sys
from pathlib import Path

import bentoml

from benchmarks.peers.launch import Launch, read_launch
from benchmarks.peers.scorer import Scorer

_LAUNCH = "BENCHMARK_LAUNCH"
_given = read_launch(os.environ.get(_LAUNCH) or sys.argv[1])


@bentoml.service(workers=_given.workers, threads=1, logging={"access": {"enabled": False}})
class Detector:
    """One session in each worker."""

    def __init__(self) -> None:
        self._scorer = Scorer(_given)

    @bentoml.api(route="/predict")  # type: ignore[untyped-decorator]
    def predict(self, payload: bytes, /) -> float:
        return float(self._scorer.probabilities([payload])[0])


def main(launch: Launch) -> None:
    os.environ.update({_LAUNCH: sys.argv[1], "BENTOML_DO_NOT_TRACK": "true"})
    bento = Path(launch.environment) / "bin" / "bentoml"
    flags = ["--host", "127.0.0.1", "--port", str(launch.port)]
    os.execv(bento, [str(bento), "serve", "benchmarks.peers.bentoml:Detector", *flags])


if __name__ == "__main__":
    main(_given)
