"""One loaded graph: an ONNX Runtime session with the manifest it carries."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache as once
from pathlib import Path
from typing import Any

import onnxruntime as ort

from server.engine import cuda
from server.engine.batch import Counts, Rows, Scores, Tensors, assemble, disassemble, empty_rows, one_row_each
from server.engine.fixed import FixedRuns
from server.engine.graph_cache import GraphCache
from server.engine.manifest import METADATA_KEY, Manifest, parse_manifest
from server.engine.providers import Provider, Wish, candidates
from server.engine.repository import version_of
from server.engine.shapes import Shapes
from server.errors import EngineFailed, InvalidModel

log = logging.getLogger(__name__)

# Of what ONNX Runtime writes to standard error, in a format of its own: its exceptions say the rest, too.
_FATAL = 4


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
        manifest = manifest_of(self._session, path)
        # The number under which the repository has it, whatever the exporter numbered it.
        number = version_of(path) or manifest.version
        self.manifest: Manifest = manifest.model_copy(update={"version": number})
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._fixed = self._fixed_runs() if self.provider.fixed_shapes else None
        log.info("%s runs on %s: %s", path, self.provider.name, self.provider.why)

    def prepare(self) -> None:
        """Makes every shape ready that runs commonly have, where shapes matter.

        Raises:
            InvalidModel: the graph cannot be run.
            EngineFailed: the device has no room for it.
        """
        if self._fixed:
            self._make_ready(self._fixed.prepare)

    def attach(self) -> None:
        """Makes this thread ready to run every such shape at once, where that takes time, too.

        Raises:
            InvalidModel, EngineFailed: as of `prepare`.
        """
        if self._fixed:
            self._make_ready(self._fixed.attach)

    def run(self, requests: Sequence[Rows]) -> list[Scores]:
        """Scores the rows of all requests in one run of the graph."""
        if self._fixed:
            return disassemble(self._fixed.run(requests), requests)
        # One more request with rows, whose answer nobody reads.
        filled = requests if self.provider.accepts_empty else [*requests, one_row_each(self.manifest)]
        scored = self._session.run(self._outputs, assemble(filled, self.manifest))
        outputs: Tensors = dict(zip(self._outputs, scored, strict=True))
        return disassemble(outputs, requests)

    def groups(self, requests: Sequence[Rows]) -> Iterable[list[int]]:
        """Which requests to run together, by their indices; all, unless that makes an uncommon shape."""
        return self._fixed.shapes.groups(requests) if self._fixed else [list(range(len(requests)))]

    def share(self, rows: Rows) -> float:
        """How much of the largest run they fill, above 1 if it is too small; 0 where runs have any size."""
        return self._fixed.shapes.share(rows) if self._fixed else 0.0

    def with_threads(self, threads: int) -> "Session":
        """Another session of the same graph."""
        return Session(self._path, self._wish, threads, self._cache)

    def remember(self, about: str, value: Any) -> None:
        """Keeps what was found out about this graph on this machine, if there is a cache."""
        if self._cache:
            self._cache.remember(self._path, about, value)

    def recall(self, about: str) -> Any:
        """What was remembered, by this process or an earlier one; None if nothing was."""
        return self._cache.recall(self._path, about) if self._cache else None

    def steps(self, modality: str) -> list[int]:
        """Numbers of rows of one modality, ascending, for which runs are timed."""
        return self._fixed.shapes.steps(modality) if self._fixed else [1, 2, 4, 8, 16, 32, 64]

    def _make_ready(self, shapes: Callable[[], None]) -> None:
        try:
            shapes()
        except EngineFailed:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            raise InvalidModel(f"{self._path} cannot be run: {error}") from error

    def _least(self) -> Counts:
        """Rows that a run must have: where there are none, some providers fail, but not the CPU's."""
        try:
            with cuda.TURNS.together():
                self._session.run(None, assemble([empty_rows(self.manifest)], self.manifest))
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            log.info("%s gets a row of every modality in each run: %s", self._path, error)
            return one_row_each(self.manifest).counts
        return 0, 0, 0

    def _fixed_runs(self) -> FixedRuns:
        # Without `self`, in a cycle with which the device's memory would wait for the garbage collector.
        path, chosen, threads = self._path, self.provider, self.threads

        def opened(dimensions: Mapping[str, int], captured: bool) -> ort.InferenceSession:
            more = {"enable_cuda_graph": "1"} if captured else {}
            provider = replace(chosen, options=chosen.options | more)
            return _session(path, provider, threads, None, dimensions)

        shapes = Shapes.of(self.manifest, self._least())
        return FixedRuns(opened, self.manifest, shapes, not chosen.on_cpu and cuda.available())


def manifest_of(session: ort.InferenceSession, path: Path) -> Manifest:
    """The manifest in the graph of `path`. Raises InvalidModel as `parse_manifest` does."""
    return parse_manifest(session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), str(path))


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
    if wish in ("auto", "cpu"):  # the CPU is always there
        raise InvalidModel(f"{path} is not a graph that ONNX Runtime can load: {reasons}")
    raise EngineFailed(f"{path} does not run with --provider {wish}: {reasons}", "Use --provider auto.")


def _session(
    path: Path,
    provider: Provider,
    intra_op_threads: int,
    cache: GraphCache | None,
    dimensions: Mapping[str, int] | None = None,
) -> ort.InferenceSession:
    def options() -> ort.SessionOptions:
        options = ort.SessionOptions()
        if provider.on_cpu:
            _share_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")
        options.intra_op_num_threads = intra_op_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _FATAL
        # A thread that spins between runs takes its core from the decoders.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for name, size in (dimensions or {}).items():
            options.add_free_dimension_override_by_name(name, size)
        return options

    providers = [(provider.name, provider.options)]
    if cache and provider.on_cpu:
        return cache.open(path, options, providers)
    with cuda.TURNS.together():
        return ort.InferenceSession(path, options(), providers=providers)


@once
def _share_arena() -> None:
    # An arena of its own for each session would keep what its largest run took, also for the session of
    # lone requests and, while a version is exchanged, for the next one.
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    of_default_size = ort.OrtArenaCfg(0, -1, -1, -1)
    ort.create_and_register_allocator(memory, of_default_size)
