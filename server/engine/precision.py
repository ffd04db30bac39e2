"""Which of a version's files runs: fp32, fp16 or int8, by provider and by what the exporter measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from server.engine.manifest import Manifest, Precision
from server.engine.processor import features
from server.engine.providers import Provider, Wish, candidates
from server.engine.repository import graph_file
from server.engine.session import Session, manifest_of
from server.errors import InvalidModel, ModelNotFound

PrecisionWish = Literal["auto", Precision]


def open_session(
    graph: Path, wish: PrecisionWish, provider: Wish, load: Callable[[Path], Session]
) -> Session:
    """A session of the version whose model.onnx is `graph`, in the precision that suits its provider.

    Args:
        wish: auto takes fp16 on an accelerator; on the CPU int8, if the exporter found that it pays,
            and this processor has what the exporter's had; fp32 where there is no such file.
        provider: that `load` will try.
        load: makes the session of a file.

    Raises:
        ModelNotFound: the precision was asked for, and its file is not there.
        InvalidModel, EngineFailed: a file cannot be loaded.
    """
    if wish != "auto":
        return load(_asked_for(graph, wish))
    expected = candidates(provider)[0]
    file = _suitable(graph, expected)
    session = load(file)
    if session.provider.name == expected.name or file == graph:
        return session
    # The accelerator's libraries are missing, and its precision is of no use to what took over.
    return load(_suitable(graph, session.provider))


def _asked_for(graph: Path, precision: Precision) -> Path:
    file = graph_file(graph, precision)
    if not file.is_file():
        raise ModelNotFound(
            f"--precision {precision} is set, and there is no {file}",
            f"Write it: python -m exporter models/ --precisions fp32,{precision}; or use --precision auto.",
        )
    return file


def _suitable(graph: Path, provider: Provider) -> Path:
    precision: Precision = "int8" if provider.on_cpu else "fp16"
    file = graph_file(graph, precision)
    if not file.is_file() or (precision == "int8" and not _pays_here(file)):
        return graph
    return file


def _pays_here(file: Path) -> bool:
    trade = _manifest(file).trade
    return trade is not None and trade.pays_on_cpu and set(trade.cpu) <= set(features())


def _manifest(file: Path) -> Manifest:
    """The manifest alone, without the work of optimising the graph."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        raise InvalidModel(f"{file} is not a graph that ONNX Runtime can load: {error}") from error
    return manifest_of(session, file)
