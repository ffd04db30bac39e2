"""KServe's Python server over gRPC, runs in as many threads as there may be at once.

Not batched: KServe's batcher is another program, in front of a server.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kserve

from benchmarks.peers.launch import ANSWER, MODEL, Launch, read_launch
from benchmarks.peers.scorer import Scorer


class Detector(kserve.Model):  # type: ignore[misc]
    """One session. The names of its methods are KServe's."""

    def __init__(self, launch: Launch) -> None:
        super().__init__(MODEL)
        self._scorer = Scorer(launch)
        self._threads = ThreadPoolExecutor(launch.workers)
        self.ready = True

    async def predict(
        self,
        payload: kserve.InferRequest,
        headers: Any = None,  # noqa: ARG002 - KServe names them
        response_headers: Any = None,  # noqa: ARG002
    ) -> kserve.InferResponse:
        given = payload.inputs[0].as_numpy()
        answers = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._scorer.of_tensor, given
        )
        output = kserve.InferOutput(name=ANSWER, shape=list(answers.shape), datatype="FP32")
        output.set_data_from_numpy(answers, binary_data=True)
        return kserve.InferResponse(response_id=payload.id, model_name=MODEL, infer_outputs=[output])


def main(launch: Launch) -> None:
    server = kserve.ModelServer(
        http_port=0, grpc_port=launch.port, workers=1, enable_latency_logging=False, access_log_format=None
    )
    server.start([Detector(launch)])


if __name__ == "__main__":
    main(read_launch())
