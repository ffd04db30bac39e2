"""What training computes on: devices, processes, precision; and that it computes the same every time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from training.errors import DataError
from training.settings import Strategy

_HALVES = ("float16", "bfloat16")


def make_strategy(name: Strategy) -> tf.distribute.Strategy:
    """Says where models are trained; called before anything is computed, once per process.

    GPU memory is taken as it is needed, not all at once.

    Args:
        name: default is one device, mirrored all GPUs of this machine, multi-worker all machines
            that the environment variable TF_CONFIG names.

    Raises:
        DataError: multi-worker without TF_CONFIG.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    match name:
        case "default":
            return tf.distribute.get_strategy()
        case "mirrored":
            return tf.distribute.MirroredStrategy()
        case "multi-worker":
            if "TF_CONFIG" not in os.environ:
                raise DataError("--strategy multi-worker needs the environment variable TF_CONFIG")
            # Before the collectives are set up, which happens here.
            tf.config.experimental.enable_op_determinism()
            return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one of its workers that writes files and measures models."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type in (None, "", "chief"):
        return True
    return resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs


@contextmanager
def precision(mixed: bool) -> Iterator[None]:
    """Models built inside compute in float16 where that is safe, with float32 weights, if `mixed`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if mixed else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def compute_in_float32(model: keras.Model) -> None:
    """Undoes mixed precision of a loaded model, whose weights are float32: so it is judged and exported.

    The exporter makes other precisions from the graph.
    """
    for layer in model._flatten_layers():
        if layer.dtype_policy.name.startswith("mixed_"):
            layer.dtype_policy = "float32"
        # A Sequential casts its input to the dtype that the policy had given it.
        inner = getattr(layer, "_functional", None)
        for source in (layer, *(inner._inputs if inner else ())):
            if isinstance(source, (keras.layers.InputLayer, keras.KerasTensor)) and source.dtype in _HALVES:
                source._dtype = "float32"


def make_deterministic(seed: int) -> None:
    """The same seed on the same machine then gives the same weights. Affects the whole process."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
