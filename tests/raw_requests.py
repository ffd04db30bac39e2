"""Raw tensors and the requests that carry them, and what the bare graph makes of them."""

from typing import Any

import numpy as np
import onnxruntime as ort
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype

from open_inference.v2 import inference_pb2 as pb
from server.engine.batch import assemble
from server.engine.manifest import Manifest
from tests.random_rows import random_rows

Arrays = dict[str, NDArray[Any]]

PHOTO: Arrays = {
    "frames": np.zeros((1, 32, 32, 3), np.uint8),
    "image_index": np.array([0]),
    "image_request": np.array([0]),
}


def subjects(manifest: Manifest, count: int, seed: int = 0) -> Arrays:
    rows = [
        random_rows(manifest, seed + number, images=2, clips=1, windows=number) for number in range(count)
    ]
    return assemble(rows, manifest)


def run_bare(bare: ort.InferenceSession, feeds: Arrays) -> Arrays:
    names = [output.name for output in bare.get_outputs()]
    return dict(zip(names, bare.run(names, feeds), strict=True))


def triton_inputs(feeds: Arrays) -> list[Any]:
    inputs = []
    for name, array in feeds.items():
        inputs.append(triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype)))
        inputs[-1].set_data_from_numpy(array)
    return inputs


def message(feeds: Arrays, **fields: Any) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="tiny", **fields)
    for name, array in feeds.items():
        request.inputs.add(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    return request


def assert_answers(result: Any, expected: Arrays) -> None:
    for name, tensor in expected.items():
        np.testing.assert_allclose(result.as_numpy(name), tensor, atol=1e-5, rtol=0, err_msg=name)
