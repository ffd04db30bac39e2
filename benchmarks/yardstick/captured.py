"""A bare session whose runs are captured as a CUDA graph."""

from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks.yardstick.session import Feeds, Provider


def capturing(provider: Provider, options: ort.SessionOptions, rows: int) -> Provider:
    """The provider for runs of so many pictures, one a request; `options` get their sizes."""
    for name, size in {"F": rows, "I": rows, "R": rows, "C": 0, "A": 0}.items():
        options.add_free_dimension_override_by_name(name, size)
    name, given = provider
    return name, {**given, "enable_cuda_graph": "1"}


class Captured:
    """Runs on memory of the device that stays the same; of one thread at a time.

    Raises:
        RuntimeError: a replayed run does not answer as an ordinary one.
    """

    def __init__(self, session: ort.InferenceSession, feeds: Feeds) -> None:
        self._session, self._binding = session, session.io_binding()
        ordinary = ort.RunOptions()
        ordinary.add_run_config_entry("gpu_graph_id", "-1")
        expected = session.run(None, feeds, ordinary)
        self._inputs = {name: ort.OrtValue.ortvalue_from_numpy(rows, "cuda") for name, rows in feeds.items()}
        self._outputs = [ort.OrtValue.ortvalue_from_numpy(output, "cuda") for output in expected]
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for output, value in zip(session.get_outputs(), self._outputs, strict=True):
            self._binding.bind_ortvalue_output(output.name, value)
        for _ in range(2):  # captured, and replayed
            answers = self.run(feeds)
        if not all(map(np.allclose, answers, expected)):
            raise RuntimeError("a captured run answers otherwise than an ordinary one")

    def run(self, feeds: Feeds) -> list[Any]:
        """The outputs of one run, as ONNX Runtime gives them."""
        for name, rows in feeds.items():
            if rows.size:
                self._inputs[name].update_inplace(rows)
        self._session.run_with_iobinding(self._binding)
        return [output.numpy() for output in self._outputs]
