"""Between the messages of the Open Inference Protocol and arrays.

Raw contents are little-endian, as all processors are that ONNX Runtime has wheels for.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_inference.v2 import inference_pb2 as pb
from server.engine.batch import Tensors
from server.errors import InvalidRequest

# Names of the protocol; the field of InferTensorContents that holds numbers of the type, if there is one.
# BYTES has no fixed size and no graph of ours takes it.
_TYPES: dict[str, tuple[type[np.generic], str]] = {
    "BOOL": (np.bool_, "bool_contents"),
    "UINT8": (np.uint8, "uint_contents"),
    "UINT16": (np.uint16, "uint_contents"),
    "UINT32": (np.uint32, "uint_contents"),
    "UINT64": (np.uint64, "uint64_contents"),
    "INT8": (np.int8, "int_contents"),
    "INT16": (np.int16, "int_contents"),
    "INT32": (np.int32, "int_contents"),
    "INT64": (np.int64, "int64_contents"),
    "FP16": (np.float16, ""),
    "FP32": (np.float32, "fp32_contents"),
    "FP64": (np.float64, "fp64_contents"),
}
DATATYPES = {numpy_type: name for name, (numpy_type, _) in _TYPES.items()}

# More than any tensor of a graph; so that nobody has us count millions of them.
_MAX_DIMENSIONS = 8
# The same of parameters, which are sent back.
_MAX_PARAMETERS = 64


def to_tensors(request: pb.ModelInferRequest) -> Tensors:
    """The inputs by name; views of the message's bytes where they came raw.

    Raises:
        InvalidRequest: names, types, shapes and contents do not fit each other.
    """
    if len(request.parameters) > _MAX_PARAMETERS:
        raise InvalidRequest(f"there are {len(request.parameters)} parameters, more than {_MAX_PARAMETERS}")
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(f"there are {len(request.inputs)} inputs and {len(raw)} raw_input_contents")
    tensors: Tensors = {}
    for number, message in enumerate(request.inputs):
        if message.name in tensors:
            raise InvalidRequest(f"input {message.name!r} is there twice")
        if "shared_memory_region" in message.parameters:
            raise InvalidRequest(f"{message.name}: shared memory is not offered")
        if raw and message.HasField("contents"):
            raise InvalidRequest(f"{message.name} has contents beside raw_input_contents")
        tensors[message.name] = _raw(message, raw[number]) if raw else _typed(message)
    return tensors


def wanted_outputs(request: pb.ModelInferRequest, known: Sequence[str]) -> Sequence[str]:
    """Names of the outputs to answer with, in order.

    Raises:
        InvalidRequest: one is not known, named twice, or wanted in a form that is not offered.
    """
    names: list[str] = []
    for output in request.outputs:
        if output.name not in known:
            raise InvalidRequest(f"the model has no output {output.name!r}, only {', '.join(known)}")
        if output.name in names:
            raise InvalidRequest(f"output {output.name} is wanted twice")
        for form in ("shared_memory_region", "classification"):
            if form in output.parameters:
                raise InvalidRequest(f"{output.name}: {form} is not offered")
        names.append(output.name)
    return names or known


def add_outputs(response: pb.ModelInferResponse, tensors: Tensors, names: Sequence[str]) -> None:
    """Adds the named tensors, raw."""
    for name in names:
        tensor = tensors[name]
        response.outputs.add(name=name, datatype=DATATYPES[tensor.dtype.type], shape=tensor.shape)
        response.raw_output_contents.append(tensor.tobytes())


def _raw(message: pb.ModelInferRequest.InferInputTensor, content: bytes) -> NDArray[Any]:
    dtype = np.dtype(_type(message)[0])
    size = _size(message) * dtype.itemsize
    if len(content) != size:
        raise InvalidRequest(
            f"{message.name} has {len(content)} bytes; {message.datatype} of shape {list(message.shape)} "
            f"has {size}"
        )
    return _shaped(np.frombuffer(content, dtype), message)


def _typed(message: pb.ModelInferRequest.InferInputTensor) -> NDArray[Any]:
    count, (numpy_type, field) = _size(message), _type(message)
    for descriptor, _ in message.contents.ListFields():
        if descriptor.name != field:
            raise InvalidRequest(f"{message.name} is {message.datatype}, and has {descriptor.name}")
    values = np.array(getattr(message.contents, field) if field else ())
    if values.size != count:
        raise InvalidRequest(
            f"{message.name} has {values.size} numbers; shape {list(message.shape)} has {count}"
        )
    converted = values.astype(numpy_type)
    if values.dtype.kind in "iu" and (converted != values).any():
        raise InvalidRequest(f"{message.name} holds numbers that are not {message.datatype}")
    return _shaped(converted, message)


def _type(message: pb.ModelInferRequest.InferInputTensor) -> tuple[type[np.generic], str]:
    """Its NumPy type, and the field of contents for it, if there is one. Raises InvalidRequest."""
    if message.datatype not in _TYPES:
        raise InvalidRequest(
            f"{message.name}: datatype {message.datatype!r} is not one of {', '.join(_TYPES)}"
        )
    return _TYPES[message.datatype]


def _size(message: pb.ModelInferRequest.InferInputTensor) -> int:
    """How many numbers the shape promises, as an integer that cannot overflow."""
    if len(message.shape) > _MAX_DIMENSIONS:
        raise InvalidRequest(f"{message.name} has {len(message.shape)} dimensions")
    if any(size < 0 for size in message.shape):
        raise InvalidRequest(f"{message.name}: shape {list(message.shape)} is negative")
    return math.prod(message.shape)


def _shaped(numbers: NDArray[Any], message: pb.ModelInferRequest.InferInputTensor) -> NDArray[Any]:
    try:
        return numbers.reshape(message.shape)
    except ValueError as error:  # sizes beside a 0 that no memory could hold
        raise InvalidRequest(f"{message.name}: no array can have its shape") from error
