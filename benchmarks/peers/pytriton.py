"""PyTriton: tritonserver in front of handlers in this process, one for each worker."""

import logging

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.launch import ANSWER, MODEL, PAYLOAD, Launch, read_launch
from benchmarks.peers.scorer import Scorer


class Handler:
    """One session."""

    def __init__(self, launch: Launch) -> None:
        self._scorer = Scorer(launch)

    @batch  # type: ignore[untyped-decorator]
    def __call__(self, payload: NDArray[np.generic]) -> dict[str, NDArray[np.float32]]:
        """Its argument and the key of its answer are named as the model's input and output."""
        return {ANSWER: self._scorer.of_tensor(payload)}


def main(launch: Launch) -> None:
    logging.getLogger("pytriton").setLevel(logging.WARNING)
    if launch.encoded:
        given = Tensor(name=PAYLOAD, dtype=np.bytes_, shape=(1,))
    else:
        given = Tensor(name=PAYLOAD, dtype=np.uint8, shape=(launch.height, launch.width, 3))
    batching = {"batcher": DynamicBatcher()} if launch.batch > 1 else {"batching": True}
    network = TritonConfig(
        grpc_address="127.0.0.1", grpc_port=launch.port, allow_http=False, allow_metrics=False
    )
    with Triton(config=network, workspace=f"{launch.folder}/workspace") as triton:
        triton.bind(
            model_name=MODEL,
            infer_func=[Handler(launch) for _ in range(launch.workers)],
            inputs=[given],
            outputs=[Tensor(name=ANSWER, dtype=np.float32, shape=(1,))],
            config=ModelConfig(max_batch_size=launch.batch, **batching),
        )
        triton.serve()


if __name__ == "__main__":
    main(read_launch())
