"""What the Open Inference Protocol says of the served model."""

from open_inference.v2 import inference_pb2 as pb
from server.engine.manifest import Manifest
from server.engine.signature import TensorSpec, inputs_of, outputs_of
from server.engine.statistics import Figures, Spent
from server.errors import ModelNotFound
from server.rpc.open_inference.tensors import DATATYPES

# Of Triton's own vocabulary: never `ensemble`, which tools take apart.
_PLATFORM, _BACKEND, _FILE = "onnxruntime_onnx", "onnxruntime", "model.onnx"


def serves(manifest: Manifest, name: str, version: str) -> bool:
    """Whether the manifest's model is the one named; any version if that is empty."""
    return name == manifest.name and version in ("", manifest.version)


def check_served(manifest: Manifest, name: str, version: str) -> None:
    """Raises ModelNotFound if the manifest's model is not the one named."""
    if not serves(manifest, name, version):
        raise ModelNotFound(
            f"model {name!r} version {version or 'any'} is not served",
            f"Ask for model {manifest.name} version {manifest.version}.",
        )


def metadata(manifest: Manifest) -> pb.ModelMetadataResponse:
    """Answer of ModelMetadata."""
    response = pb.ModelMetadataResponse(name=manifest.name, versions=[manifest.version], platform=_PLATFORM)
    for spec in inputs_of(manifest):
        response.inputs.add(name=spec.name, datatype=DATATYPES[spec.dtype], shape=_shape(spec))
    for spec in outputs_of(manifest):
        response.outputs.add(name=spec.name, datatype=DATATYPES[spec.dtype], shape=_shape(spec))
    return response


def config(manifest: Manifest) -> pb.ModelConfigResponse:
    """Answer of ModelConfig."""
    model = pb.ModelConfig(
        name=manifest.name,
        platform=_PLATFORM,
        backend=_BACKEND,
        default_model_filename=_FILE,
        model_transaction_policy=pb.ModelTransactionPolicy(decoupled=False),
    )
    for spec in inputs_of(manifest):
        kind = pb.DataType.Value(f"TYPE_{DATATYPES[spec.dtype]}")
        model.input.add(name=spec.name, data_type=kind, dims=_shape(spec), optional=True)
    for spec in outputs_of(manifest):
        kind = pb.DataType.Value(f"TYPE_{DATATYPES[spec.dtype]}")
        model.output.add(name=spec.name, data_type=kind, dims=_shape(spec))
    return pb.ModelConfigResponse(config=model)


def index(manifest: Manifest) -> pb.RepositoryIndexResponse:
    """Answer of RepositoryIndex."""
    model = pb.RepositoryIndexResponse.ModelIndex(name=manifest.name, version=manifest.version, state="READY")
    return pb.RepositoryIndexResponse(models=[model])


def statistics(manifest: Manifest, figures: Figures) -> pb.ModelStatisticsResponse:
    """Answer of ModelStatistics."""
    model = pb.ModelStatistics(
        name=manifest.name,
        version=manifest.version,
        last_inference=int(figures.last_run * 1000),
        inference_count=figures.scored.count,
        execution_count=sum(runs.count for runs in figures.runs.values()),
        inference_stats=pb.InferStatistics(
            success=_duration(figures.scored),
            fail=_duration(figures.failed),
            queue=_duration(figures.queued),
            compute_input=pb.StatisticDuration(count=figures.shared.count),
            compute_infer=_duration(figures.shared),
            compute_output=pb.StatisticDuration(count=figures.shared.count),
        ),
    )
    for size, runs in sorted(figures.runs.items()):
        model.batch_stats.add(
            batch_size=size,
            compute_input=pb.StatisticDuration(count=runs.count),
            compute_infer=_duration(runs),
            compute_output=pb.StatisticDuration(count=runs.count),
        )
    return pb.ModelStatisticsResponse(model_stats=[model])


def _shape(spec: TensorSpec) -> list[int]:
    # The protocol's way to say that a size varies.
    return [-1 if isinstance(size, str) else size for size in spec.shape]


def _duration(spent: Spent) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=spent.count, ns=int(spent.seconds * 1e9))
