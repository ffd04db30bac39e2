"""Reads Keras models and converts them to ONNX: every quirk of tf2onnx with Keras 3 lives here.

- `from_keras` keeps EfficientNet's normalisation constants as constants; `from_function` and
  `model.export(format="onnx")` turn them into required inputs.
- Opset 17: 18 splits global pooling into transposes and ReduceMean, and 19 is refused.
- Outputs come without their names and, for a dict, in alphabetical order, so the model is wrapped
  to give a list, and the tensors are renamed by position.
- An unknown batch size gets a different made-up symbol for every input and output.
- Functions that a model calls stay calls, which ONNX does not know, so they are traced as part of it.
- What it cannot convert it leaves in the graph as TensorFlow's own operator, and only logs that.
"""

import logging
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow
import tf2onnx
from onnx import helper

import training.models  # noqa: F401  registers the layers, so that Keras can load them
from exporter.bodies import redirect
from exporter.errors import reason, refused
from exporter.graph import IR_VERSION, OPSET, OUTPUTS
from server.errors import InvalidModel
from training.branches import check_model
from training.devices import compute_in_float32

_RETRAIN = "Train it again, or remove it and its record to export the other modalities alone."
_REBUILD = "Train it without that, or remove it and its record to export the other modalities alone."


def load_model(path: Path, modality: str) -> keras.Model:
    """Reads a Keras file and checks that it is a model of this modality.

    Raises:
        InvalidModel: it is no Keras file, or has unknown layers, inputs or outputs.
    """
    # A GPU computes in lower precision (TF32), and parity is measured against this model.
    tensorflow.config.set_visible_devices([], "GPU")
    if not zipfile.is_zipfile(path):
        raise InvalidModel(f"{path} is not a .keras file, or is cut short", _RETRAIN)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its parts raise
        raise InvalidModel(f"{path} cannot be loaded by Keras: {reason(error)}", _RETRAIN) from error
    try:
        check_model(modality, model)
    except ValueError as error:
        raise InvalidModel(f"{path}: {error}", _RETRAIN) from error
    compute_in_float32(model)
    return model


def convert(model: keras.Model, modality: str, path: Path) -> onnx.ModelProto:
    """Converts a model that `load_model` read from `path`.

    Returns:
        a branch as `exporter.graph.build_detector` wants it, not cleaned yet.

    Raises:
        InvalidModel: it computes something that ONNX cannot.
    """
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    names = OUTPUTS[modality]
    in_order = keras.Model(model.inputs, [model.output[name] for name in names])
    source = model.inputs[0]
    rows = tensorflow.TensorSpec((None, *source.shape[1:]), source.dtype, name="rows")
    with refused(f"{path} cannot be converted to ONNX", _REBUILD), _inlined():
        branch: onnx.ModelProto = tf2onnx.convert.from_keras(
            in_order,
            (rows,),
            opset=OPSET,
            custom_op_handlers={
                "Erfc": (_erfc, []),
                "RFFT": (_rfft, []),
                "Real": (_real_or_imaginary, []),
                "Imag": (_real_or_imaginary, []),
            },
        )[0]
        onnx.checker.check_model(branch)
    branch.ir_version = IR_VERSION
    for output, name in zip(list(branch.graph.output), names, strict=True):
        _rename(branch.graph, output.name, name)
    for value in (*branch.graph.input, *branch.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return branch


@contextmanager
def _inlined() -> Iterator[None]:
    """Traces functions inside of a model as part of it: Keras puts grouped convolutions into one for XLA."""
    before = tensorflow.config.functions_run_eagerly()
    tensorflow.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tensorflow.config.run_functions_eagerly(before)


def _erfc(context: Any, node: Any, name: str, _: Any) -> None:
    """What exact GELU is made of, and tf2onnx does not know: 1 - erf(x)."""
    (output,) = node.output
    dtype, shape = context.get_dtype(output), context.get_shape(output)
    context.remove_node(node.name)
    kind = {"dtypes": [dtype], "shapes": [shape]}
    one = context.make_const(f"{name}/one", np.ones((), helper.tensor_dtype_to_np_dtype(dtype)))
    erf = context.make_node("Erf", node.input, **kind)
    context.make_node("Sub", [one.output[0], erf.output[0]], outputs=[output], name=name, **kind)


def _rfft(context: Any, node: Any, name: str, _: Any) -> None:
    """What `keras.ops.stft` and `rfft` are made of, as one product: all real parts, then all imaginary ones.

    tf2onnx has only their absolute values, and only of a single row.
    """
    (output,) = node.output
    (length,) = node.inputs[1].get_tensor_value()
    bins = length // 2 + 1
    # Of large angles a cosine would lose digits.
    turns = np.outer(np.arange(length), np.arange(bins)) % length / length
    waves = np.exp(-2j * np.pi * turns)
    shape = [*context.get_shape(output)[:-1], 2 * bins]
    context.remove_node(node.name)
    basis = context.make_const(f"{name}/waves", np.hstack([waves.real, waves.imag]).astype(np.float32))
    kind = {"dtypes": [onnx.TensorProto.FLOAT], "shapes": [shape]}
    context.make_node("MatMul", [node.input[0], basis.output[0]], outputs=[output], name=name, **kind)


def _real_or_imaginary(context: Any, node: Any, name: str, _: Any) -> None:
    """The first or the second half of what `_rfft` made."""
    (output,) = node.output
    outputs = [output, f"{name}/other"] if node.type == "Real" else [f"{name}/other", output]
    kind = {"dtypes": 2 * [onnx.TensorProto.FLOAT], "shapes": 2 * [context.get_shape(output)]}
    context.remove_node(node.name)
    context.make_node("Split", node.input, attr={"axis": -1}, outputs=outputs, name=name, **kind)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        redirect(node, {old: new})
        node.output[:] = [new if name == old else name for name in node.output]
    for output in graph.output:
        if output.name == old:
            output.name = new
