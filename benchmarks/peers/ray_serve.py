"""Ray Serve: a replica for each run at once, behind its gRPC proxy and our own contract."""

import logging
import socket
import threading

import ray
from ray import serve
from ray.serve.config import gRPCOptions

from benchmarks.peers.launch import Launch, read_launch
from benchmarks.peers.scorer import Scorer
from deepfake.v1 import detector_pb2 as pb

_CONTRACT = "deepfake.v1.detector_pb2_grpc.add_DetectorServicer_to_server"


class Detector:
    """One session."""

    def __init__(self, launch: Launch) -> None:
        self._scorer = Scorer(launch)
        self._encoded = launch.encoded
        self._score.set_max_batch_size(launch.batch)  # type: ignore[attr-defined]

    async def Detect(self, request: pb.DetectRequest) -> pb.DetectResponse:  # noqa: N802
        medium = request.media[0]
        payload = medium.content if self._encoded else medium.frames.rgb
        return pb.DetectResponse(fake_probability=await self._score(payload))

    @serve.batch(batch_wait_timeout_s=0)
    async def _score(self, payloads: list[bytes]) -> list[float]:
        answers: list[float] = self._scorer.probabilities(payloads).tolist()
        return answers


def main(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        http_port = listener.getsockname()[1]
    # Cores are counted, not reserved: the proxy has to run somewhere, too.
    ray.init(num_cpus=launch.workers + 1, include_dashboard=False, logging_level=logging.WARNING)
    serve.start(
        http_options={"host": "127.0.0.1", "port": http_port},
        grpc_options=gRPCOptions(port=launch.port, grpc_servicer_functions=[_CONTRACT]),
    )
    deployment = serve.deployment(
        name="Detector", num_replicas=launch.workers, max_ongoing_requests=2 * launch.batch
    )
    serve.run(deployment(Detector).bind(launch))
    threading.Event().wait()


if __name__ == "__main__":
    main(read_launch())
