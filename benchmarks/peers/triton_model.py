"""The model that tritonserver's Python backend runs, one in the process of each instance."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from benchmarks.peers.launch import ANSWER, PAYLOAD, read_launch
from benchmarks.peers.scorer import Scorer


class TritonPythonModel:
    """The names of this class and its methods are the backend's."""

    def initialize(self, args: dict[str, str]) -> None:
        launch = read_launch(json.loads(args["model_config"])["parameters"]["launch"]["string_value"])
        self._scorer = Scorer(launch)

    def execute(self, requests: list[Any]) -> list[Any]:
        given = [pb_utils.get_input_tensor_by_name(request, PAYLOAD).as_numpy() for request in requests]
        answers = self._scorer.of_tensor(np.concatenate(given) if len(given) > 1 else given[0])
        ends = np.cumsum([len(rows) for rows in given])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(ANSWER, part)]) for part in np.split(answers, ends)
        ]
