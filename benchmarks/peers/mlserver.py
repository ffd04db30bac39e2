"""MLServer: a pool of worker processes behind its gRPC server, with its adaptive batching."""

import asyncio

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.launch import ANSWER, MODEL, Launch, read_launch
from benchmarks.peers.scorer import Scorer


class Detector(MLModel):  # type: ignore[misc]
    """One session in each worker. The names of its methods are MLServer's."""

    async def load(self) -> bool:
        launch = read_launch(self.settings.parameters.uri)
        self._encoded = launch.encoded
        self._scorer = Scorer(launch)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        given = payload.inputs[0]
        if self._encoded:
            frames = np.stack([self._scorer.frame(bytes(file)) for file in given.data])
        else:
            frames = NumpyCodec.decode_input(given)
        answers = self._scorer.of_frames(frames).reshape(-1, 1)
        return InferenceResponse(model_name=MODEL, outputs=[NumpyCodec.encode_output(ANSWER, answers)])


async def serve(launch: Launch) -> None:
    batching = {"max_batch_size": launch.batch, "max_batch_time": 0.001} if launch.batch > 1 else {}
    model = ModelSettings(
        name=MODEL,
        implementation=Detector,
        parameters=ModelParameters(uri=f"{launch.folder}/launch.json"),
        **batching,
    )
    settings = Settings(
        host="127.0.0.1",
        grpc_port=launch.port,
        http_port=0,
        metrics_endpoint=None,
        parallel_workers=launch.workers,
        environments_dir=f"{launch.folder}/environments",
        debug=False,
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(serve(read_launch()))
