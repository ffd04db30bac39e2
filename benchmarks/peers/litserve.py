"""LitServe: a handler in each worker process, fed over ZeroMQ; raw bodies in, a JSON number out."""

from typing import Annotated, Any

import litserve
from fastapi import Body

from benchmarks.peers.launch import Launch, read_launch
from benchmarks.peers.scorer import Scorer


class Api(litserve.LitAPI):  # type: ignore[misc]
    """The names of its methods are LitServe's. With batches, `predict` gets a list."""

    def __init__(self, launch: Launch) -> None:
        # So short a wait that a lone request does not notice; without one LitServe would not batch.
        batching = {"max_batch_size": launch.batch, "batch_timeout": 0.001} if launch.batch > 1 else {}
        super().__init__(**batching)
        self._launch = launch

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe names it
        self._scorer = Scorer(self._launch)

    def decode_request(self, request: Annotated[bytes, Body()]) -> bytes:
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def unbatch(self, output: list[float]) -> list[float]:
        return output

    def predict(self, x: Any) -> Any:
        payloads = x if isinstance(x, list) else [x]
        answers = self._scorer.probabilities(payloads).tolist()
        return answers if isinstance(x, list) else answers[0]

    def encode_response(self, output: float) -> float:
        return output


def main(launch: Launch) -> None:
    server = litserve.LitServer(
        Api(launch), accelerator="cpu", workers_per_device=launch.workers, timeout=False, fast_queue=True
    )
    server.run(host="127.0.0.1", port=launch.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main(read_launch())
