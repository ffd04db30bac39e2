"""One loaded graph: an ONNX Runtime session with the manifest it carries."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from server.engine.batch import Rows, Scores, Tensors, assemble, disassemble, one_row_each
from server.engine.graph_cache import GraphCache
from server.engine.manifest import METADATA_KEY, Manifest, parse_manifest
from server.engine.providers import Provider, Wish, candidates
from server.errors import EngineFailed, InvalidModel

log = logging.getLogger(__name__)


class Session:
    """A graph on an execution provider. `run` may be called from several threads at once.

    Args:
        path: the exported model.onnx.
        wish: the provider, or auto for the first that works.
        intra_op_threads: threads inside one run on the CPU; 0 for one per core.
        cache: of optimised copies; None to do without.

    Attributes:
        threads: inside one run on the CPU.

    Raises:
        InvalidModel: not a graph, or not one with a manifest that this server understands.
        EngineFailed: no wished provider can run it.
    """

    def __init__(
        self, path: Path, wish: Wish = "auto", intra_op_threads: int = 1, cache: GraphCache | None = None
    ) -> None:
        self._path, self._wish, self._cache = path, wish, cache
        self.threads = intra_op_threads
        self.provider, self._session = _open(path, wish, intra_op_threads, cache)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.manifest: Manifest = parse_manifest(metadata.get(METADATA_KEY), str(path))
        self._outputs = [output.name for output in self._session.get_outputs()]
        log.info("%s runs on %s: %s", path, self.provider.name, self.provider.why)

    def run(self, requests: Sequence[Rows]) -> list[Scores]:
        """Scores the rows of all requests in one run of the graph."""
        feeds = assemble(self._padded(requests), self.manifest)
        outputs: Tensors = dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
        return disassemble(outputs, requests)

    def with_threads(self, threads: int) -> "Session":
        """Another session of the same graph."""
        return Session(self._path, self._wish, threads, self._cache)

    def note(self, about: str, value: Any) -> None:
        """Remembers something about this graph on this machine, if there is a cache."""
        if self._cache:
            self._cache.remember(self._path, about, value)

    def noted(self, about: str) -> Any:
        """What was remembered, by this process or an earlier one; None if nothing was."""
        return self._cache.recall(self._path, about) if self._cache else None

    def _padded(self, requests: Sequence[Rows]) -> Sequence[Rows]:
        if self.provider.accepts_empty:
            return requests
        # A last request of blank rows, whose answer nobody reads, so that no input is empty.
        return [*requests, one_row_each(self.manifest)]


def _open(
    path: Path, wish: Wish, intra_op_threads: int, cache: GraphCache | None
) -> tuple[Provider, ort.InferenceSession]:
    failures = []
    for provider in candidates(wish):
        try:
            session = _session(path, provider, intra_op_threads, cache)
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            failures.append(f"{provider.name}: {error}")
            continue
        # ONNX Runtime falls back to the CPU on its own when a provider's libraries are missing.
        if session.get_providers()[0] == provider.name:
            return provider, session
        failures.append(f"{provider.name}: its libraries could not be loaded")
        log.warning("%s", failures[-1])
    reasons = "; ".join(failures)
    if wish == "auto":
        raise InvalidModel(f"{path} is not a graph that ONNX Runtime can load: {reasons}")
    raise EngineFailed(f"{path} does not run with --provider {wish}: {reasons}", "Use --provider auto.")


def _session(
    path: Path, provider: Provider, intra_op_threads: int, cache: GraphCache | None
) -> ort.InferenceSession:
    def options() -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = intra_op_threads
        options.inter_op_num_threads = 1
        # A thread that spins between runs takes its core from the decoders.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options

    providers = [(provider.name, provider.options)]
    if cache is None or not provider.on_cpu:
        return ort.InferenceSession(path, options(), providers=providers)
    return cache.open(path, options, providers)
